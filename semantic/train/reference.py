"""The features of a pair of prompts, in Python: what the Rust crate is checked against.

Same definitions as semantic/src, written apart from it. It reads the files in semantic/data.
"""

import json
import math
import re
import struct
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

DATA = Path(__file__).resolve().parent.parent / "data"
OPERATORS = "<>=!&|+*/^\\~%-:@#$"
CONTRACTIONS = [
    ("what's", "what is"), ("can't", "can not"), ("cannot", "can not"), ("won't", "will not"), ("let's", "let us"),
    ("where's", "where is"), ("who's", "who is"), ("how's", "how is"), ("it's", "it is"), ("that's", "that is"),
    ("when's", "when is"), ("i'm", "i am"), ("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"),
    ("'m", " am"), ("'d", " would"), ("-free", " without"),
]
ORDINALS = ["", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
MONTHS = """january february march april may june july august september october november december
jan feb mar apr jun jul aug sep sept oct nov dec""".split()
RELATIVE = ("last", "this", "next", "past", "previous", "coming", "current")
PERIODS = """week month year weekend quarter day night morning evening season decade century monday tuesday wednesday
thursday friday saturday sunday semester""".split()
AUXILIARY = "is are was were do does did can could should would will has have had may might must am".split()
UNITS = """km kg cm mm m g mg lb lbs oz ft in mi mph kmh gb mb kb tb hz ghz mhz w kw v am pm s ms sec min mins h hr hrs d k
x st nd rd th c f usd eur px p""".split()
ASKS = {"what": 1, "which": 1, "who": 2, "whom": 2, "whose": 2, "when": 3, "where": 4, "why": 5, "how": 6}
PREFIXES = ("un", "dis", "de", "in", "im", "ir", "il", "non", "anti", "mis")
DAYS = ("today", "yesterday", "tomorrow", "tonight", "now")
SINGLE = ("one", "a", "an", "single")
BE = ("is", "was", "were", "are", "been", "be", "being")
SYMMETRIC = ("versus", "difference", "differenc", "compar", "between", "distanc", "@distance", "and", "or", "same")
PREPOSITIONS = set("""with without for in at by on to from of as after before during under over into than about against using
via per since until between near like""".split())
DETERMINERS = set("a an the my your our his her its their this that these those any some one".split())
WAYS = set("way method step procedur process instruction guid tip approach remedy treatment option idea do help best".split())
SPECIFIC = {2: "who", 3: "when", 4: "where", 5: "why", 7: "count"}


class Static:
    """The embedding table."""

    def __init__(self, path=DATA / "model.safetensors"):
        raw = Path(path).read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + size])

        def tensor(name, kind):
            begin, end = header[name]["data_offsets"]
            return np.frombuffer(raw[8 + size + begin : 8 + size + end], kind).reshape(header[name]["shape"])

        self.rows = tensor("embeddings", np.int8).astype(np.float32) * tensor("scales", np.float32)[:, None]
        vocabulary = {t: i for i, t in enumerate((DATA / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1])}
        self.tokens = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
        self.tokens.normalizer = normalizers.BertNormalizer(lowercase=True)
        self.tokens.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self.tokens.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])

    @lru_cache(maxsize=None)
    def embed(self, text):
        """A vector of length 1 and the length it had."""
        ids = [i for i in self.tokens.encode(text, add_special_tokens=False).ids if i not in (0, 100, 101, 102)]
        total = self.rows[ids].sum(0) if ids else np.zeros(self.rows.shape[1], np.float32)
        length = float(np.linalg.norm(total))
        return (total / length if length else total), length


def inflection(w):
    if len(w) > 4 and w.endswith("ies"):
        return w[:-3] + "y"
    if len(w) > 4 and w.endswith(("sses", "xes", "ches", "shes")):
        return w[:-2]
    if len(w) > 3 and w.endswith("s") and not w.endswith(("ss", "us", "is")):
        w = w[:-1]
    for ending, least in (("ing", 5), ("ed", 4)):
        if len(w) > least and w.endswith(ending):
            w = w[: -len(ending)]
            return w[:-1] if len(w) > 2 and w[-1] == w[-2] and w[-1] not in "lse" else w
    return w[:-1] if len(w) > 4 and w.endswith("e") else w


def suffixless(w):
    w = inflection(w)
    return w[:-1] if len(w) > 3 and w.endswith("e") else w


def base(w):
    """Only the plural taken off."""
    if len(w) > 3 and not w.endswith(("ss", "us", "is")):
        if w.endswith("ies"):
            return w[:-3] + "y"
        if w.endswith(("sses", "xes", "ches", "shes")):
            return w[:-2]
        if w.endswith("s"):
            return w[:-1]
    return w


class Lexicon:
    def __init__(self, path=DATA / "lexicon.json"):
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        self.__dict__.update({k: raw[k] for k in ("alias", "phrases", "numwords", "irregular", "degree", "same", "measures", "negated", "acts")})
        self.kinds = {k: set(v) for k, v in raw["kinds"].items()}
        self.stop, self.neg = set(raw["stop"]), set(raw["neg"])
        self.closed = {k: set(v) for k, v in raw["closed"].items()}
        self.unit_classes = {c for v in self.closed.values() for c in v if c.startswith(("unit", "curr", "temp"))}
        self.closed = {k: set(v) for k, v in raw["closed"].items()}
        self.same_stems = {suffixless(k): v for k, v in self.same.items()}
        self.turning = {self.stem(w) for w in raw["turning"]}
        self.kind_stems = {k: {self.stem(w) for w in v} for k, v in self.kinds.items()}
        self.acts_by_stem = {self.stem(w): a for w, a in sorted(self.acts.items())}
        self.opposites = set()
        for a, b in raw["antonyms"]:
            self.opposites |= {(a, b), (b, a)}
            x, y = self.stem(a), self.stem(b)
            if x != y:
                self.opposites |= {(x, y), (y, x)}
        self.generic = {self.stem(w) for w in raw["generic"]}

    @lru_cache(maxsize=None)
    def stem(self, w):
        w = self.irregular.get(w, w)
        if w in self.degree:
            root = self.degree[w]
            return self.same.get(w, self.same.get(root, root) + ("~est" if w.endswith("st") else "~er"))
        for known in (w, base(w)):
            if known in self.closed:
                return self.root(self.same.get(known, known))
        return self.root(self.same.get(w, w))

    def root(self, w):
        if w in self.closed:
            return w
        s = suffixless(w)
        other = self.same_stems.get(s)
        return s if other is None else other if other in self.closed else suffixless(other)

    @lru_cache(maxsize=None)
    def forms(self, w):
        w1 = self.irregular.get(w, w)
        return tuple(dict.fromkeys((w, w1, base(w1), self.degree.get(w1, w1), self.stem(w))))

    def opposite(self, a, b):
        return any((x, y) in self.opposites for x in self.forms(a) for y in self.forms(b))

    def classes(self, w):
        found = (self.closed.get(x) for x in (w, base(w), self.alias.get(base(w), ""), self.stem(w)))
        return next((f for f in found if f), set())

    def same_class(self, a, b):
        return bool(self.classes(a) & self.classes(b))


# --- text ---------------------------------------------------------------------------------------


def code_spans(text):
    spans, out, rest = [], "", text
    while "`" in rest:
        before, after = rest.split("`", 1)
        inside = after.lstrip("`")
        if "`" not in inside:
            break
        code, tail = inside.split("`", 1)
        if not code:
            break
        out += before + " " + code + " "
        spans.append(" ".join(code.split()))
        rest = tail.lstrip("`")
    return spans, out + rest


def quotations(text):
    found = re.findall(r"\"([^\"]{1,200})\"|(?:^|(?<=\s))'([^']{1,200})'(?=\s|$|[.,?!])", text)
    return [q.strip().lower() for pair in found for q in pair if q]


def plain(text, lexicon):
    low = " ".join(text.lower().split())
    for short, long in CONTRACTIONS:
        low = low.replace(short, long)
    for phrase, word in lexicon.phrases:
        if phrase in low:
            low = re.sub(r"(?<![a-z])" + re.escape(phrase) + r"(?![a-z])", lambda _: word, low)
    return low.strip()


def pieces(text):
    """Words, numbers and signs; a sign comes with the characters around it."""
    i, found = 0, []
    while i < len(text):
        c = text[i]
        before = text[i - 1] if i else " "
        j = i + 1
        if c.isalpha():
            while j < len(text) and (text[j].isalpha() or text[j] == "_" or (text[j] == "'" and text[j + 1 : j + 2].isalpha())):
                j += 1
            for tail in ("++", "#"):
                if text.startswith(tail, j) and not text[j + len(tail) : j + len(tail) + 1].isalnum():
                    j += len(tail)
                    break
            found.append(("word", text[i:j]))
        elif c in "0123456789":
            j = i + re.match(r"[0-9]+(?:[.,:][0-9]+)*", text[i:]).end()
            found.append(("number", text[i:j]))
        elif c == "-" and before in " `'\"(" and (m := re.match(r"--?[a-z][a-z0-9-]*", text[i:])):
            j = i + m.end()
            found.append(("sign", text[i:j], before, text[j : j + 1]))
        elif c in OPERATORS:
            while j < len(text) and text[j] in OPERATORS:
                j += 1
            found.append(("sign", text[i:j], before, text[j:].lstrip(" ")[:1] if text[i:j] == "%" else text[j : j + 1]))
        elif not c.isspace():
            found.append(("sign", c, before, text[j : j + 1]))
        i = j
    return found


def sign(run, before, after, number_before):
    """(word that the sign stands for, whether it is code)."""
    letter = after.isalpha()
    if run in ("€", "£", "°"):
        return {"€": "euro", "£": "pound", "°": "degree"}[run], False
    if run == "→":
        return "to", False
    if len(run) > 1 and run[0] == "-" and run[-1].isalnum():
        return None, True
    if run in "[]{}":
        return None, True
    if run[0] not in OPERATORS:
        return None, False
    if len(run) > 1:
        return None, run != "://" and any(ch not in "-!" for ch in run)
    if run == "%":
        return ("percent", False) if number_before and not after.isdigit() else (None, True)
    if run == "$":
        return (None, True) if letter else ("dollar", False)
    if run == "&":
        return (None, True) if letter and before in " (" else ("and", False)
    if run == "/":
        return None, before == after == " " or (before.isdigit() and after.isdigit())
    if run == "~":
        return ("approx", False) if after.isdigit() else (None, True)
    if run == "!":
        return None, letter and before == " "
    if run == "#":
        return None, letter and before == " "
    if run == "@":
        return None, not (before.isalnum() and after.isalnum())
    return None, run not in "-:"


def number(digits):
    if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", digits):
        digits = digits.replace(",", "")
    return digits[:-3] if digits.endswith(":00") and digits.count(":") == 1 else digits


def mixed(text):
    found = set()
    for t in re.findall(r"[A-Za-z0-9.]+", text):
        t = t.strip(".").lower()
        if not (re.search(r"[0-9]", t) and re.search(r"[a-z]", t)):
            continue
        m = re.fullmatch(r"[0-9.]+([a-z]+)", t)
        if (m and m.group(1) in UNITS) or re.fullmatch(r"[a-z]{3,}[0-9][0-9.]*", t):
            continue
        found.add(t)
    return found


def addresses(text):
    """Names of hosts."""
    found = (t.strip(".") for t in re.findall(r"[a-z0-9.-]+", text))
    return {t for t in found if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}", t) and not t.endswith(".js")}


def names(text, lexicon):
    words = re.findall(r"[A-Za-z][\w'\-.+#]*|[.!?\n:]", text)
    long = [w for w in words if len(w) > 3]
    long = [w for w in long if w.lower() not in lexicon.stop]
    title = len(long) >= 3 and all(w[0].isupper() for w in long)
    found, begins = set(), True
    for w in words:
        if w in ".!?\n:":
            begins = True
            continue
        inner = any(c.isupper() for c in w[1:])
        pronoun = w.rstrip(".") in ("I", "I'm", "I've", "I'd", "I'M", "I'VE", "I'D")
        if w[0].isupper() and not pronoun and (inner if title else inner or not begins):
            x = w.lower().rstrip(".'-")
            x = x[:-2] if x.endswith("'s") else x
            x = lexicon.alias.get(x, x)
            if x not in lexicon.stop:
                found.add(lexicon.stem(x))
        begins = False
    return found


class Document:
    def __init__(self, text, lexicon):
        straight = text.replace("’", "'").replace("“", '"').replace("”", '"')
        self.lexicon = lexicon
        self.code, straight = code_spans(straight)
        self.squeezed = " ".join(straight.split())
        self.quotations = sorted(quotations(straight))
        self.plain = plain(straight, lexicon)
        self.names, self.mixed = names(straight, lexicon), mixed(self.plain)
        self.addresses = addresses(self.plain)
        self.labels = sorted(set(re.findall(r"(?<![a-z0-9])([a-z]{2,}):([a-z0-9_.-]+)", self.plain)))
        self.words, self.numbers, self.signs, self.negations = [], set(), [], 0
        self.calls = sorted(set(re.findall(r"([a-z_]+)\(", self.plain)))
        self.read()
        self.relate()
        self.measure()
        self.stems = [self.measured.get(i) or lexicon.stem(w) for i, w in enumerate(self.words)]
        self.names &= set(self.stems)
        self.content = [i for i, w in enumerate(self.words) if w not in lexicon.stop or i in self.measured]
        self.negations += sum(w in lexicon.neg for w in self.words)
        self.turns = sum(s in lexicon.turning for s in self.stems)
        self.bound = self.bindings()
        self.class_of = {}
        for w, x in zip(self.words, self.stems):
            self.class_of.setdefault(x, lexicon.classes(w))
        self.source, self.target = self.ends()
        self.symmetric = any(s in SYMMETRIC for s in self.stems)
        self.passive = any(w in BE and "by" in self.words[i + 1 :] for i, w in enumerate(self.words))
        self.asks = self.question()
        self.acts = {lexicon.acts_by_stem[s] for s in self.stems if s in lexicon.acts_by_stem}

    def read(self):
        before, found = None, pieces(self.plain)
        for n, piece in enumerate(found):
            kind, text = piece[:2]
            if kind == "number":
                value = number(text)
                following = found[n + 1][1] if n + 1 < len(found) and found[n + 1][0] == "word" else ""
                if following in ("st", "nd", "rd", "th") and text.isdigit() and 0 < int(text) <= 10 and not self.by_month(found, n):
                    self.words.append(ORDINALS[int(text)])
                    if int(text) > 1:
                        self.numbers.add("#" + text)
                else:
                    decade = re.fullmatch(r"(?:19|20)?([0-9]0)", value)
                    self.numbers.add(decade.group(1) if decade and following == "s" else value)
                    self.words.append(value)
            elif kind == "word":
                if before == "number" and text in ("st", "nd", "rd", "th"):
                    continue
                word = self.lexicon.alias.get(text, text)
                word = word[:-2] if word.endswith("'s") else word
                if before == "number" and word in ("am", "pm"):
                    word = "hour_" + word
                if word in self.lexicon.negated:
                    self.negations += 1
                    word = self.lexicon.negated[word]
                if word in ORDINALS[2:]:
                    self.numbers.add("#" + str(ORDINALS.index(word)))
                digits = None if word in ("one", "single", "double", "half", "once", "twice") else self.lexicon.numwords.get(word)
                if digits:
                    self.numbers.add(digits)
                self.words.append(digits or word)
            else:
                word, code = sign(text, piece[2], piece[3], before == "number")
                if word:
                    self.words.append(word)
                if code:
                    self.signs.append(text)
            before = kind
        self.signs.sort()

    @staticmethod
    def by_month(found, n):
        around = [found[k][1] for k in (n - 1, n + 2) if 0 <= k < len(found)]
        return any(w in MONTHS for w in around)

    def relate(self):
        words, self.words, i = self.words, [], 0
        while i < len(words):
            w, following = words[i], words[i + 1] if i + 1 < len(words) else ""
            numeric = following == "one" or following[:1].isdigit() or following == "dollar" or following == "euro"
            if w in RELATIVE and following in PERIODS:
                self.words += [w + "_", following]
                i += 1
            elif w in ("about", "around", "approximately", "roughly") and (following == "one" or following[:1].isdigit()):
                self.words.append("approx")
            elif w in ("under", "below") and numeric:
                self.words.append("lessthan")
            elif w in ("over", "above") and numeric:
                self.words.append("morethan")
            else:
                self.words.append(w)
            i += 1

    def measure(self):
        self.measured, self.measures = {}, set()
        for i, w in enumerate(self.words):
            m = self.lexicon.measures.get(w)
            if not m:
                continue
            following = self.words[i + 1] if i + 1 < len(self.words) else ""
            if w == "many" and self.lexicon.classes(following) & self.lexicon.unit_classes:
                continue
            if w == "long" and i and self.words[i - 1] == "how":
                short = following in ("is", "are", "was", "were")
                self.measured[i] = "@length" if short else "@duration"
                self.measures |= {"length", "duration"} if short else {"duration"}
                continue
            noun = w in ("length", "duration", "height", "elevation", "age", "distance", "depth", "width", "weight", "weigh",
                         "speed", "size", "frequency", "temperature", "cost", "price")
            counted = w == "number" and self.words[i + 1 : i + 2] == ["of"]
            if noun or counted or (i and self.words[i - 1] == "how"):
                self.measured[i] = "@" + m[0]
                self.measures |= set(m)

    def bindings(self):
        """The unit that each number counts; "a gallon" and "per gallon" count one."""
        found, units = {}, self.lexicon.unit_classes
        for i, w in enumerate(self.words):
            value = "1" if w in ("a", "an", "one", "per", "each", "single") else w
            if not value[:1].isdigit():
                continue
            around = self.words[i + 1 : i + 3] + (self.words[i - 1 : i] if w == value else [])
            unit = next((u for u in around[:1] + around[2:] + around[1:2] if self.lexicon.classes(u) & units), None)
            if unit:
                found.setdefault(value, set()).add(self.lexicon.stem(unit))
        return found

    def ends(self):
        """Where something comes from and where it goes to; what acts and what is acted on."""
        source, target = set(), set()
        for i, (w, s) in enumerate(zip(self.words, self.stems)):
            after = next((self.stems[j] for j in self.content if j > i), None)
            before = next((self.stems[j] for j in reversed(self.content) if j < i), None)
            if w in ("from", "leaving"):
                source.add(after)
            elif w in ("to", "into"):
                named = before in self.names and after in self.names
                joined = before and after and self.class_of[before] & self.class_of[after]
                if "from" in self.words or named or joined:
                    source.add(before)
                    target.add(after)
            elif w in ("than", "over") or s in ("beat", "affect", "influence"):
                source.add(before)
                target.add(after)
            elif w == "for" and "leaving" in self.words:
                target.add(after)
            elif s == "effect":
                source.add(before)
            elif "effect" in self.stems and w == "of":
                source.add(after)
            elif "effect" in self.stems and w == "on":
                target.add(after)
        return source - {None}, target - {None}

    def question(self):
        for i, w in enumerate(self.words[:12]):
            if w in ASKS:
                following = self.words[i + 1] if i + 1 < len(self.words) else ""
                if w == "how" and following in ("many", "much"):
                    return 7
                if w == "how" and i + 1 in self.measured:
                    return 8
                return ASKS[w]
        return 9 if self.words and self.words[0] in AUXILIARY else 0


# --- pairs --------------------------------------------------------------------------------------

NAMES = """cos cov_min cov_max resid1 resid2 resid_min resid_max jac wjac alone_min alone_max hard_min hard_max hard_weight_min
hard_weight_max num_diff num_any neg_diff turn_diff ant cap_min cap_max mixed_diff code_diff sign_diff quote_diff wh_diff
measure_diff yesno_diff lcs inv big len_ratio len_min len_max tri_jac sub_cos_max sub_cos_min worst_cover rest_cos first_same
last_same swap direction bound_diff unmet measure_one call_diff act_other act_diff wmax_alone closed one_side extra modifier
object one_modifier one_object first_alone last_alone how_unmet yesno_unmet should_diff""".split()
VETOES = "num_diff neg_diff ant cap_min mixed_diff code_diff sign_diff quote_diff measure_diff closed swap direction bound_diff call_diff wh_diff yesno_unmet".split()


def subsequence(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        new = [0]
        for j, y in enumerate(b):
            new.append(row[j] + 1 if x == y else max(row[j + 1], new[j]))
        row = new
    return row[-1]


def trigrams(text):
    text = re.sub(r"[^a-z0-9]+", " ", text)
    return {text[i : i + 3] for i in range(len(text) - 2)}


def swapped(a, b):
    """Pairs of words that stand the other way round, where their order means something."""
    if a.symmetric or b.symmetric:
        return 0
    lexicon, n = a.lexicon, 0
    places = {}
    for s in dict.fromkeys(a.stems):
        if a.stems.count(s) == 1 and b.stems.count(s) == 1:
            places[s] = (a.stems.index(s), b.stems.index(s))
    common = list(places)
    for i, p in enumerate(common):
        for q in common[i + 1 :]:
            cp, cq = (a.class_of[x] | b.class_of[x] for x in (p, q))
            if cp & lexicon.unit_classes and cq & lexicon.unit_classes:
                continue
            members = bool(cp & cq)
            numbers = p[:1].isdigit() and q[:1].isdigit()
            x, y = sense(a, p, q), sense(b, p, q)
            directed = bool(x or y)
            if x and y:
                n += (x != y) != (a.passive != b.passive)
                continue
            if directed or members or numbers:
                turned = places[p][1] > places[q][1]
                n += turned != (directed and a.passive != b.passive)
    return n


def sense(d, p, q):
    """1 if p goes to q, -1 if q goes to p, 0 if the text does not say."""
    return (p in d.source and q in d.target) - (q in d.source and p in d.target)


def towards(d):
    """What stands after each "to", and the few words before it."""
    after, before = set(), set()
    for i, w in enumerate(d.words):
        if w in ("to", "into"):
            after |= {d.stems[j] for j in [j for j in d.content if j > i][:1]}
            before |= {d.stems[j] for j in [j for j in d.content if j < i][-3:]}
    return after, before


def turned_round(a, b):
    (pa, qa), (pb, qb) = towards(a), towards(b)
    return any(p != q for p in pa & qb for q in pb & qa)


def directed(a, b):
    """The place that one text comes from and the other goes to."""
    return int(
        turned_round(a, b)
        or bool((a.source & b.target) - a.target - b.source)
        or bool((a.target & b.source) - a.source - b.target)
    ) if a.passive == b.passive else 0


def bound_differ(a, b):
    return sum(bool(a.bound[n]) and not (a.bound[n] & b.bound[n]) for n in a.bound.keys() & b.bound.keys())


def asks_unmet(a, b, kinds=(0, 1)):
    """A question word that the other text, a question of one of these kinds, answers with no word of its kind."""
    def unmet(x, y):
        kind = SPECIFIC.get(x.asks)
        if kind is None or y.asks not in kinds:
            return False
        agent = kind == "who" and any(len(w) > 4 and w.endswith(("er", "or", "ist")) for w in y.words)
        return not agent and not any(s in y.lexicon.kind_stems[kind] or s == "@" + kind for s in y.stems)

    return unmet(a, b) or unmet(b, a)


def how_unmet(a, b):
    """One text asks how; the other one asks something else, and for no way to do it."""
    def unmet(x, y):
        return x.asks == 6 and y.asks in (1, 9) and not any(s in WAYS for s in y.stems)

    return unmet(a, b) or unmet(b, a)


def should(d):
    return d.words[:1] == ["should"] or d.words[:3] == ["is", "it", "worth"]


def function_opposites(a, b, lexicon):
    """Opposite function words before the same word: "with sugar", "without sugar"."""
    def places(d, other):
        content = d.content
        out = []
        for i, w in enumerate(d.words):
            if w not in other.words:
                after = next((d.stems[j] for j in content if j > i), None)
                before = next((d.stems[j] for j in reversed(content) if j < i), None)
                out.append((w, before, after))
        return out

    n = 0
    for x, bx, ax in places(a, b):
        for y, by, ay in places(b, a):
            if (x in lexicon.stop or y in lexicon.stop) and lexicon.opposite(x, y):
                n += ax == ay or (bx == by and bx is not None)
    return n


def prefixed(a, b):
    short, long = sorted((a, b), key=len)
    return len(short) > 2 and long in [p + short for p in PREFIXES]


def times_differ(x, y):
    """"today" and "last_" (week), "now" and "yesterday"; "now" is in "this_" week."""
    if x in DAYS and y in DAYS:
        return x != y and ("yesterday" in (x, y) or "tomorrow" in (x, y))
    for day, period in ((x, y), (y, x)):
        if day in DAYS and period.endswith("_"):
            return not (period == "this_" and day in ("now", "tonight"))
    return x.endswith("_") and y.endswith("_")


def labels_differ(a, b):
    """Keys that both texts have with different values: "sort:new" and "sort:top"."""
    x, y = ({k: {v for q, v in d.labels if q == k} for k, _ in d.labels} for d in (a, b))
    return sum(x[k] != y[k] for k in x.keys() & y.keys())


def code_alone(a, b):
    """A code span that the other text has neither as a span nor in its words."""
    return sum(s not in b.code and s not in b.squeezed for s in a.code)


def asks_differ(a, b):
    x, y = a.asks, b.asks
    if x == y or not (2 <= x <= 8) or not (2 <= y <= 8):
        return False
    if {x, y} in ({6, 4}, {7, 8}):
        return False
    return not ({x, y} & {7, 8} and a.measures & b.measures)


class Features:
    def __init__(self):
        self.static, self.lexicon = Static(), Lexicon()

    @lru_cache(maxsize=None)
    def prompt(self, text):
        d = Document(text, self.lexicon)
        embedded = [self.static.embed(d.words[i]) for i in d.content]
        d.V = np.array([v for v, _ in embedded]).reshape(len(embedded), -1)
        d.W = np.array([n + 1e-3 for _, n in embedded])
        d.T = trigrams(d.plain)
        d.unit = self.static.embed(text)[0]
        d.C = [d.stems[i] for i in d.content]
        return d

    def side(self, a, b):
        """What of `a` the other does not have: places in the content, residuals, hard places."""
        known, seen, alone = set(b.C), set(), []
        for i, s in enumerate(a.C):
            if s not in known and s not in seen:
                seen.add(s)
                alone.append(i)
        near = {i: (float((b.V @ a.V[i]).max()) if len(b.C) else -1.0) for i, s in enumerate(a.C) if s not in known}
        rest = {i: a.W[i] * (1 - near[i]) for i in near}
        hard = [i for i in alone if a.C[i] not in self.lexicon.generic]
        return alone, near, rest, hard

    def roles(self, d, hard, other):
        """Of the hard words: those directly before a common word, those behind a preposition; whether the first and
        the last word that says something are among them."""
        modifiers = objects = 0
        for i in hard:
            at = d.content[i]
            modifiers += at + 1 < len(d.stems) and d.stems[at + 1] in other.C
            before = [w for w in d.words[:at] if w not in DETERMINERS]
            objects += bool(before) and before[-1] in PREPOSITIONS
        telling = [i for i, s in enumerate(d.C) if s not in self.lexicon.generic]
        return modifiers, objects, bool(telling) and telling[0] in hard, bool(telling) and telling[-1] in hard

    def __call__(self, ta, tb):
        a, b, lex = self.prompt(ta), self.prompt(tb), self.lexicon
        (ua, na, ra, ha), (ub, nb, rb, hb) = self.side(a, b), self.side(b, a)
        comparable = bool(a.C) and bool(b.C)
        if comparable:
            ca, cb = 1 - sum(ra.values()) / a.W.sum(), 1 - sum(rb.values()) / b.W.sum()
        else:
            ca = cb = 1.0 if len(a.C) == len(b.C) else 0.0
            ra, rb = {}, {}
        largest = sorted([*ra.values(), *rb.values()], reverse=True) + [0.0, 0.0]
        sa, sb = set(a.C), set(b.C)
        common = sa & sb
        shared = sum(a.W[i] for i, s in enumerate(a.C) if s in common) + sum(b.W[i] for i, s in enumerate(b.C) if s in common)
        total = a.W.sum() + b.W.sum()
        opposites, other, cosines = self.contrast(a, ua, b, ub)
        opposites += function_opposites(a, b, lex)
        numbers = a.numbers ^ b.numbers
        if "1" in numbers and any(w in SINGLE for w in (a.words if "1" in b.numbers else b.words)):
            numbers = numbers - {"1"}
        cap_a, cap_b = (len([c for c in x.names if c not in y.names and c not in y.stems]) for x, y in ((a, b), (b, a)))
        once = [s for s in a.C if s in common and a.C.count(s) == 1 and b.C.count(s) == 1]
        places = [b.C.index(s) for s in once]
        turned = sum(p > q for i, p in enumerate(places) for q in places[i + 1 :]) if len(places) < 60 else 0
        pairs_a, pairs_b = set(zip(a.stems, a.stems[1:])), set(zip(b.stems, b.stems[1:]))
        hard_weights = [sum(a.W[i] for i in ha), sum(b.W[i] for i in hb)]
        (ma, oa, fa, la_), (mb, ob, fb, lb_) = self.roles(a, ha, b), self.roles(b, hb, a)
        rest = [0.0, 0.0]
        if comparable:
            rest = [sum(ra.values()), sum(rb.values())]
        worst = min([na[i] for i in ha] + [nb[i] for i in hb] + [1.0])
        la, lb = len(a.words), len(b.words)
        values = [
            float(a.unit @ b.unit), min(ca, cb), max(ca, cb), largest[0], largest[1], min(rest), max(rest),
            len(common) / max(1, len(sa | sb)), shared / total if total > 0 else 1.0,
            min(len(ua), len(ub)), max(len(ua), len(ub)), min(len(ha), len(hb)), max(len(ha), len(hb)),
            min(hard_weights), max(hard_weights), len(numbers), int(bool(a.numbers or b.numbers)),
            abs(a.negations - b.negations) % 2, abs(a.turns - b.turns), opposites, min(cap_a, cap_b), max(cap_a, cap_b),
            len(a.mixed ^ b.mixed) + (len(a.addresses ^ b.addresses) if a.addresses and b.addresses else 0) + labels_differ(a, b), code_alone(a, b) + code_alone(b, a),
            sum((Counter(a.signs) - Counter(b.signs)).values()) + sum((Counter(b.signs) - Counter(a.signs)).values()),
            int(bool(a.quotations) and bool(b.quotations) and a.quotations != b.quotations), int(asks_differ(a, b)),
            int(bool(a.measures) and bool(b.measures) and not (a.measures & b.measures)), int((a.asks == 9) != (b.asks == 9)),
            subsequence(a.C, b.C) / max(1, min(len(a.C), len(b.C))),
            turned / (len(places) * (len(places) - 1) / 2) if len(places) > 1 else 0.0,
            len(pairs_a & pairs_b) / max(1, len(pairs_a | pairs_b)), min(la, lb) / max(1, max(la, lb)), min(la, lb), max(la, lb),
            len(a.T & b.T) / max(1, len(a.T | b.T)), max(cosines, default=-1.0), min(cosines, default=2.0), worst,
            self.rest(a, ua, b, ub), int(a.stems[:1] == b.stems[:1]), int(a.stems[-1:] == b.stems[-1:]), swapped(a, b), directed(a, b),
            bound_differ(a, b), int(asks_unmet(a, b)), int(bool(a.measures) != bool(b.measures)),
            int(bool(a.calls) and bool(b.calls) and a.calls != b.calls),
            int(bool(a.acts) and bool(b.acts) and not (a.acts & b.acts)), len(a.acts ^ b.acts),
            max([a.W[i] for i in ua] + [b.W[i] for i in ub] + [0.0]), other, int((not ua) != (not ub)),
            0.0 if ha and hb else max(hard_weights), max(ma, mb), max(oa, ob), (0 if hb else ma) + (0 if ha else mb),
            (0 if hb else oa) + (0 if ha else ob), fa + fb, la_ + lb_, int(how_unmet(a, b)), int(asks_unmet(a, b, (9,))),
            int(should(a) != should(b)),
        ]
        # On a grid, so that the last bit of a sum decides nothing.
        return [round(float(v), 4) for v in values]

    def contrast(self, a, ua, b, ub):
        opposites, other, cosines = 0, 0, []
        for i in ua:
            for j in ub:
                x, y = a.words[a.content[i]], b.words[b.content[j]]
                other += times_differ(x, y) or self.lexicon.same_class(x, y)
                opposites += self.lexicon.opposite(x, y) or prefixed(x, y)
                cosines.append(float(a.V[i] @ b.V[j]))
        return opposites, other, cosines

    @staticmethod
    def rest(a, ua, b, ub):
        """Cosine of what is left on both sides; 1 when nothing is, 0 when one side has nothing."""
        if not ua or not ub:
            return 1.0 if not ua and not ub else 0.0
        x, y = (a.V[ua] * a.W[ua, None]).sum(0), (b.V[ub] * b.W[ub, None]).sum(0)
        lengths = math.sqrt(float(x @ x)) * math.sqrt(float(y @ y))
        return float(x @ y) / lengths if lengths else 0.0


def veto(x, vetoes=VETOES):
    return next((v for v in vetoes if x[NAMES.index(v)] > 0), None)
