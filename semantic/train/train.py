"""Trains the verifier, measures it on pairs of groups it has not seen, and writes data/verifier.json.

    python train.py --redis /path/to/redis.dev.tsv
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import lightgbm as lgb
import numpy as np

import pairs
import reference

HERE = Path(__file__).resolve().parent
FOLDS, SEEDS, ROUNDS = 10, 2, 250
# Pairs of less are never judged, nor are texts that are too long; see semantic/src.
LEAST_SIMILARITY, MOST_WORDS, MOST_LINES = 0.5, 64, 3
DEFAULT_BUDGET = 0.01
BUDGETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05]
# More of these never makes a hit less likely; less of those never does.
UP = {"cos", "cov_min", "cov_max", "jac", "wjac", "big", "tri_jac", "lcs", "worst_cover"}
DOWN = {
    "resid1", "resid2", "resid_min", "resid_max", "hard_min", "hard_weight_min", "alone_min", "cap_min", "cap_max", "ant",
    "closed", "num_diff", "turn_diff", "wh_diff", "inv", "swap", "direction", "bound_diff", "unmet", "measure_one",
    "call_diff", "measure_diff", "act_other", "act_diff", "extra", "modifier", "object", "one_modifier", "one_object",
    "first_alone", "last_alone", "how_unmet", "yesno_unmet", "should_diff",
}
PARAMETERS = {
    "objective": "binary", "learning_rate": 0.05, "num_leaves": 14, "min_data_in_leaf": 30, "lambda_l2": 5.0,
    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "verbose": -1, "num_threads": 2,
    "deterministic": True, "force_col_wise": True,
    "monotone_constraints": [1 if n in UP else -1 if n in DOWN else 0 for n in reference.NAMES],
}


def eligible(text):
    return len(text.split()) <= MOST_WORDS and sum(bool(line.strip()) for line in text.splitlines()) <= MOST_LINES


def load(redis):
    seen, found = set(), []
    sources = [pairs.read_tsv(HERE.parent / "testdata" / n, "hard", False) for n in ("hard.dev.tsv", "hard_big.dev.tsv")]
    if redis:
        sources.append(pairs.read_tsv(redis, "redis", True))
    sources += [pairs.read_groups(p) for p in sorted((HERE / "pairs").glob("*.txt"))]
    for pair in (p for s in sources for p in s):
        if (pair.a, pair.b) not in seen:
            seen.add((pair.a, pair.b))
            found.append(pair)
    return found


def surface(pair, number):
    """The first text of a pair in other clothes: what no verifier may refuse."""
    a = pair.a
    bare = a.lower().rstrip("?.! ")
    forms = ["please " + bare, bare, bare + " please", a.upper() if len(a) < 40 else bare, "Hi, " + bare + "?"]
    for begin, other in (
        ("how do i ", "how can i "), ("how do i ", "how to "), ("how can i ", "how do i "), ("how to ", "how do i "),
        ("what is ", "what's "), ("what's ", "what is "), ("what is ", "tell me "), ("is it ", "tell me if it is "),
    ):
        if bare.startswith(begin):
            forms += [other + bare[len(begin):] + "?"] * 2
    return a, forms[number % len(forms)]


def fit(X, Y, W):
    return [
        lgb.train({**PARAMETERS, "seed": seed}, lgb.Dataset(X, Y, weight=W, feature_name=reference.NAMES), ROUNDS)
        for seed in range(SEEDS)
    ]


def predict(models, X):
    return sum(m.predict(X, raw_score=True) for m in models) / len(models)


def edge(threshold):
    """Values lie on a grid of 1e-4; just below zero is between two of its points."""
    return -5e-5 if -1e-9 < threshold < 0 else round(threshold, 6)


def exported(models):
    """[feature, threshold, low, high] or [leaf]; a child comes after its parent."""
    trees = []
    for model in models:
        for tree in model.dump_model()["tree_info"]:
            nodes = []

            def walk(node):
                at = len(nodes)
                nodes.append(None)
                if "leaf_value" in node:
                    nodes[at] = [float(f"{node['leaf_value'] / len(models):.7g}")]
                else:
                    low, high = walk(node["left_child"]), walk(node["right_child"])
                    nodes[at] = [node["split_feature"], edge(node["threshold"]), low, high]
                return at

            walk(tree["tree_structure"])
            trees.append(nodes)
    return trees


def threshold(scores, labels, rate):
    """The least score at which no more than `rate` of the pairs that differ are hits."""
    other = np.sort(scores[labels == 0])[::-1]
    return float(other[min(int(rate * len(other)), len(other) - 1)])


def report(name, scores, labels, default):
    """`default`: the threshold for the default budget, the same for all sources."""
    hits = [100 * float((scores[labels == y] > default).mean()) for y in (1, 0)]
    recall = [100 * float((scores[labels == 1] > threshold(scores, labels, r)).mean()) for r in (0.001, 0.005, 0.01, 0.05)]
    print(f"| {name} | {(labels == 1).sum()} | {(labels == 0).sum()} | " + " | ".join(f"{r:.1f}" for r in recall + hits[:1]) + f" | {hits[1]:.2f} |")


def score(verifier, x):
    total = verifier["baseline"]
    for tree in verifier["trees"]:
        node = tree[0]
        while len(node) > 1:
            node = tree[node[2] if x[node[0]] <= node[1] else node[3]]
        total += node[0]
    return total


def goldens(features, verifier, found):
    """Every nineteenth pair, with what the Rust crate must compute for it."""
    out = []
    for pair in found[::19] + [p for p in found if p.category in ("code", "units", "direction", "quantifiers")][::6]:
        if pair.source == "redis":
            continue
        x = features(pair.a, pair.b)
        out.append({
            "a": pair.a, "b": pair.b, "x": x,
            "veto": reference.veto(x), "score": round(score(verifier, x), 4),
        })
    return out


def errors(found, X, scores, count):
    for i in [i for i in np.argsort(-scores) if not found[i].label][:count]:
        print(f"{scores[i]:.1f} {found[i].category} | {found[i].a} || {found[i].b}")
    for pair, x in zip(found, X):
        if pair.label and (name := reference.veto(x)):
            print(f"vetoed by {name} | {pair.a} || {pair.b}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", help="more pairs, which are not in this repository")
    parser.add_argument("--errors", type=int, default=0, help="show so many false hits, and the pairs that a veto loses")
    parser.add_argument("--dry", action="store_true", help="measure only")
    args = parser.parse_args()
    features = reference.Features()
    found = load(args.redis)
    X = np.array([features(p.a, p.b) for p in found], float)
    Y = np.array([p.label for p in found])
    usable = np.array([eligible(p.a) and eligible(p.b) for p in found])
    vetoed = ~usable | np.array([reference.veto(x) is not None or x[0] < LEAST_SIMILARITY for x in X])
    size = Counter((p.group, p.label) for p in found)
    W = np.array([min(1.0, (30 if p.source == "hard" else 6) / size[p.group, p.label]) for p in found]) * usable
    # People also write without capitals: those pairs have no names to tell them apart.
    small = [i for i, p in enumerate(found) if (p.a + p.b) != (p.a + p.b).lower()]
    X2 = np.array([features(found[i].a.lower(), found[i].b.lower()) for i in small], float)
    plain = [p for n, p in enumerate(found) if p.label and "\n" not in p.a and n % 2]
    X3 = np.array([features(*surface(p, n)) for n, p in enumerate(plain)], float)
    keep = np.array([reference.veto(x) is None for x in X3])
    X3, group3 = X3[keep], np.array([pairs.fold(p.group, FOLDS) for p in plain])[keep]
    folds = np.array([pairs.fold(p.group, FOLDS) for p in found])
    scores = np.zeros(len(Y))
    for k in range(FOLDS):
        seen, seen2, seen3 = folds != k, folds[small] != k, group3 != k
        models = fit(
            np.vstack([X[seen], X2[seen2], X3[seen3]]),
            np.hstack([Y[seen], Y[small][seen2], np.ones(seen3.sum())]),
            np.hstack([W[seen], W[small][seen2] / 2, np.full(seen3.sum(), 0.5)]),
        )
        scores[~seen] = predict(models, X[~seen])
    scores[vetoed] = -1e9
    print("Each pair scored by a model that has not seen its group; recall in % at false-hit rates:\n")
    print("| pairs | same | differ | 0.1 % | 0.5 % | 1 % | 5 % | at the default threshold | of it false hits |")
    print("|---|---|---|---|---|---|---|---|---|")
    default = threshold(scores, Y, DEFAULT_BUDGET)
    for source in ("hard", "redis", "own"):
        chosen = np.array([p.source == source for p in found])
        if chosen.any():
            report(source, scores[chosen], Y[chosen], default)
    report("all", scores, Y, default)
    table = [[r, round(threshold(scores, Y, r), 4)] for r in BUDGETS]
    print(f"\nthresholds: {table}")
    if args.errors:
        errors(found, X, scores, args.errors)
    if args.dry:
        return
    models = fit(
        np.vstack([X, X2, X3]), np.hstack([Y, Y[small], np.ones(len(X3))]),
        np.hstack([W, W[small] / 2, np.full(len(X3), 0.5)]),
    )
    verifier = {
        "features": reference.NAMES, "vetoes": reference.VETOES, "baseline": 0.0, "thresholds": table,
        "trees": exported(models),
    }
    largest = max(abs(score(verifier, x) - predict(models, x[None, :])[0]) for x in X[::50])
    assert largest < 1e-3, largest
    (HERE.parent / "data" / "verifier.json").write_text(json.dumps(verifier, separators=(",", ":")) + "\n")
    golden = goldens(features, verifier, found)
    (HERE.parent / "testdata" / "golden.json").write_text(json.dumps(golden, separators=(",", ":"), ensure_ascii=False) + "\n")
    print(f"{len(verifier['trees'])} trees, {len(golden)} goldens")


if __name__ == "__main__":
    main()
