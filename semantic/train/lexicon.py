"""Builds data/lexicon.json from the lexicon that the project began with and from words.toml."""

import argparse
import json
import tomllib
from itertools import product


def comparisons(word):
    """Comparative and superlative of a short adjective."""
    if word.endswith("e"):
        return [word + "r", word + "st"]
    if word.endswith("y"):
        return [word[:-1] + "ier", word[:-1] + "iest"]
    if len(word) <= 4 and word[-1] not in "aeiouwy" and word[-2] in "aeiou" and word[-3] not in "aeiou":
        return [word + word[-1] + "er", word + word[-1] + "est"]
    return [word + "er", word + "est"]


ADJECTIVES = """big large huge tall long wide thick heavy small tiny short narrow thin light high low hot warm cold cool dry wet
cheap early late near close far simple easy hard new old fast quick slow strong weak safe healthy happy sad rich poor clean young
deep great quiet loud soft smart funny""".split()


DECADES = {
    "twenties": "20", "thirties": "30", "forties": "40", "fifties": "50", "sixties": "60", "seventies": "70", "eighties": "80",
    "nineties": "90",
}


def build(base, words):
    antonyms = {tuple(sorted(p)) for p in base["antonyms"]}
    forms = {a: [a, *comparisons(a)] for a in ADJECTIVES}
    for low, high in words["poles"]["pairs"]:
        for a, b in product(low.split(), high.split()):
            for x, y in product(forms.get(a, [a]), forms.get(b, [b])):
                if x != y:
                    antonyms.add(tuple(sorted((x, y))))
    same = {}
    for group in words["same"]["sets"]:
        first, *others = group.split()
        first = same.get(first, first)
        for other in others:
            same.setdefault(other, first)
    for pair in words["demonyms"]["pairs"].replace("\n", "|").split("|"):
        people, country = pair.split()
        same.setdefault(people, country)
    same = {k: v for k, v in same.items() if k != v}
    degree = {form: a for a in ADJECTIVES for form in forms[a][1:]}
    # One opposite cannot also be another word for the same.
    closed = {}
    for word, classes in base["closed"].items():
        for c in classes:
            if c not in ("size", "task", "quant", "time", "rel", "prog", "db", "unit"):
                closed.setdefault(word, set()).add(c)
    for name in ("quant", "time", "unit", "rel"):
        for word, classes in base["closed"].items():
            if name in classes and word not in ("baby", "dog", "cat", "now", "fall", "teacher", "friend"):
                closed.setdefault(word, set()).add(name)
    for name, members in words["closed"].items():
        for word in members.split():
            closed.setdefault(word, set()).add(name)
    for word in ("every", "each"):
        closed.pop(word, None)
    alias = {k: v for k, v in {**base["alias"], **words["alias"]}.items() if k != v}
    phrases = {tuple(p) for p in base["phrases"]} | {tuple(p) for p in words["phrases"]["pairs"]}
    measures = {}
    for name, members in words["measures"].items():
        for word in members.split():
            measures.setdefault(word, []).append(name)
    neg = ["cannot", "except", "neither", "never", "no", "nobody", "non", "none", "nor", "not", "nothing", "unless", "without"]
    return {
        "antonyms": sorted(antonyms),
        "closed": {k: sorted(v) for k, v in sorted(closed.items())},
        "alias": dict(sorted(alias.items())),
        "phrases": sorted(phrases, key=lambda p: (-len(p[0]), p)),
        "stop": sorted(set(base["stop"]) - {"'s"} | {"thanks", "hi", "hello", "kindly"}),
        "neg": neg,
        "numwords": {**base["numwords"], **DECADES},
        "irregular": dict(sorted(words["irregular"].items())),
        "degree": dict(sorted(degree.items())),
        "same": dict(sorted(same.items())),
        "generic": sorted(set(words["generic"]["words"].split())),
        "turning": sorted(set(words["turning"]["words"].split())),
        "negated": dict(sorted(words["negated"].items())),
        "kinds": {k: sorted(v.split()) for k, v in words["kinds"].items()},
        "acts": {w: k for k, v in reversed(words["acts"].items()) for w in v.split()},
        "measures": {k: sorted(v) for k, v in sorted(measures.items())},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the lexicon.json to begin with")
    parser.add_argument("words", help="words.toml")
    parser.add_argument("out", help="data/lexicon.json")
    args = parser.parse_args()
    with open(args.base) as b, open(args.words, "rb") as w, open(args.out, "w") as out:
        json.dump(build(json.load(b), tomllib.load(w)), out, indent=0, ensure_ascii=False)
        out.write("\n")
