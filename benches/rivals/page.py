"""The page: ratios first, in tables that fit into 80 columns."""

import os
import pathlib
import statistics
from typing import Any, Callable

MILLION = 1_000_000
BATCH = 1024

Results = dict[str, Any]

HEAD = """# Benchmarks

<!-- Written by `make bench`; edit benches/rivals/page.py instead. -->

How fast the sampler draws batches, and how that compares with what people draw
batches with today. Times are of **one batch of 1,024 rows** on one thread,
unless a table says otherwise. A ratio says how many times as long the rival
takes; below 1 the rival is faster.
"""

MANY_JOBS = "## Many jobs"

METHOD = """## How this is measured

- `make bench` runs everything on one machine, in one go. Each contender has a
  process of its own. A repetition of a rival is followed at once by one of
  ours, and a ratio is of such a pair. *Median* and *least* are of all pairs,
  after one that warms up. But for HTTP, times are processor time: what else
  runs on the machine counts less.
- **The curriculum** of the weighted draws: 5 % of a batch from all rows, 10 %
  from the easiest half, the rest from the easiest 60 %. The rivals get it as
  one weight per row, in a random order.
- We draw through a score index in memory, as large as the data set and in
  random order. The case of 10⁹ rows has no index, which would take 8 GB, and
  neither has the epoch, for which there is no difficulty. What they lack is one
  access to memory per row.
- What the rivals prepare once is not counted: numpy's cumulative weights, and
  PyTorch's weights as a tensor. `torch.multinomial` and
  `WeightedRandomSampler` sum their weights up in every call, so they are asked
  for a thousand batches at once. `Generator.choice` sums them up for every
  batch: that is how it is made.
- **Not the same thing.** The rivals' weighted draws repeat rows at random; ours
  show every row of a pool once before any row comes again. Streaming shuffles
  whole epochs and knows no difficulty. Its numbers are of one node, rank and
  worker, and shards of 8,192 samples; it also decides which samples a node has
  to download, which we do not.
- Streaming's `partition` and `shuffle` modules are imported by themselves: the
  package as a whole wants the clients of several object stores. DeepSpeed's
  sampler runs as one process on the CPU, so its broadcast and its barrier do
  nothing. PyTorch is the one that Debian ships.
- The HTTP path is the real `curriculum sampler` process with a score index of
  10⁷ rows on disk, asked by [the Python client](../python/README.md) over
  loopback. The digest of the sequence and the rows of each group are summed up
  at the same time, as in a real run. Clients are processes that ask again at
  once; they and the sampler share the machine's cores.
- `cargo bench` has the core's benchmarks in more detail, without rivals.
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table whose columns are as wide as they need to be; all but the first are aligned to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    pad: list[Callable[[str, int], str]] = [str.ljust] + [str.rjust] * (len(head) - 1)
    line = lambda cells: "| " + " | ".join(p(c, w) for p, c, w in zip(pad, cells, widths)) + " |"  # noqa: E731
    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)]) + "\n"


def render(results: Results, before: str) -> str:
    """The page; its last sections, from that on many jobs on, are other benchmarks' and come from the page before."""
    parts = [HEAD, summary(results), draws(results), many(results), epochs(results), deepspeed(results)]
    parts += [far(results), http(results), METHOD, versions(results)]
    _, heading, rest = before.partition(MANY_JOBS)
    text = "\n".join([*parts, heading + rest] if heading else parts)
    long = [line for line in text.splitlines() if len(line) > 80]
    assert not long, long
    return text


def goals(results: Results) -> list[tuple[str, str, str, bool]]:
    """Each goal: what, measured, goal, met."""
    of = {(r["rival"], r["rows"]): r for r in results["draws"]}
    worst = lambda name: min(median(r["pairs"]) for (its, _), r in of.items() if its == name and "pairs" in r)  # noqa: E731
    http = results["http"]
    rate, p99 = statistics.median(http["rates"]) / MILLION, statistics.median(http["delays"][-1]["p99s"]) * 1000
    step = max(median(r["pairs"]) for r in results["far"])
    plain, replay = (statistics.median(r["seconds"]) * 1000 for r in results["compile"])
    choice, search = worst("numpy Generator.choice"), worst("numpy searchsorted")
    sampler, multinomial = worst("WeightedRandomSampler"), worst("torch.multinomial")
    clients = http["delays"][-1]["clients"]
    return [
        ("against numpy's Generator.choice", times(choice), "20×", choice >= 20),
        ("against numpy's searchsorted", times(search), "20×", search >= 20),
        ("against WeightedRandomSampler", times(sampler), "10×", sampler >= 10),
        ("against torch.multinomial", times(multinomial), "10×", multinomial >= 10),
        ("step 10⁹ against step 0", f"{step:.2f}×", "at most 2×", step <= 2),
        ("32 phases × 256 refreshes, compiled", f"{plain:.1f} ms", "5 ms", plain < 5),
        ("the same with replay of all before", f"{replay:.1f} ms", "5 ms", replay < 5),
        ("HTTP into numpy, one client", f"{rate:.1f} M rows/s", "5 M rows/s", rate >= 5),
        (f"p99 of a batch over HTTP, {clients} clients", f"{p99:.2f} ms", "5 ms", p99 < 5),
    ]


def summary(results: Results) -> str:
    rows = [[what, measured, goal, "yes" if met else "**no**"] for what, measured, goal, met in goals(results)]
    names = {"pool": "one pool", "blend": "floor, replay and pool", "balanced": "the same, for each of 10 groups"}
    strata = {"pool": 1, "blend": 3, "balanced": 21}
    ours: dict[str, list[str]] = {name: [] for name in names}
    for r in results["ours"]:
        ours[r["curriculum"]].append(micro(batch_us(statistics.median(r["seconds"]))))
    own = [[text, str(strata[name]), *ours[name]] for name, text in names.items()]
    sizes = [f"{power(n)} rows" for n in sorted({r["rows"] for r in results["ours"]})]
    return f"""## In short

{table(["what", "measured", "goal", "met"], rows)}
Ratios are the median of the rival's best case among the sizes below: they grow
with the data set. Our own batches, by curriculum:

{table(["curriculum", "strata", *sizes], own)}"""


def draws(results: Results) -> str:
    rows = []
    for r in results["draws"]:
        if "error" in r:
            rows.append([r["rival"], power(r["rows"]), "fails", "–", "–", "–"])
            continue
        theirs, mine = (batch_us(median_of(r["pairs"], side)) for side in (0, 1))
        rows.append([r["rival"], power(r["rows"]), micro(theirs), micro(mine), times(median(r["pairs"])), times(least(r["pairs"]))])
    errors = sorted({r["error"] for r in results["draws"] if "error" in r})
    failed = "".join(f"\nWhere PyTorch fails, it says\n`{error}`.\n" for error in errors)
    return f"""## Weighted draws

{table(["rival", "rows", "theirs", "ours", "median", "least"], rows)}{failed}"""


def many(results: Results) -> str:
    rows = []
    for r in results["many"]:
        shares = [count / sum(r["counts"]) * 8 for count in r["counts"]]
        found = f"{min(shares):.3f} … {max(shares):.3f}"
        if "torch" not in r:
            theirs = "not run"
        elif "error" in r["torch"]:
            theirs = "fails"
        else:
            counts = r["torch"]["counts"]
            shares = [count / sum(counts) * 8 for count in counts]
            theirs = f"{min(shares):.3f} … {max(shares):.3f}"
        rows.append([f"{r['rows']:,}", micro(batch_us(r["seconds"])), found, theirs])
    errors = sorted({r["torch"]["error"] for r in results["many"] if "error" in r.get("torch", {})})
    failed = "".join(f"\n`torch.multinomial` fails above 2²⁴ = 16,777,216 rows:\n`{error}`.\n" for error in errors)
    return f"""## More rows than 2²⁴

The data set is cut into eight equal parts, and four million draws are counted:
each part should get the same share, 1.000. The table has the least and the
greatest.

{table(["rows", "ours", "our shares", "torch.multinomial"], rows)}{failed}"""


def epochs(results: Results) -> str:
    rows = []
    for r in results["epochs"]:
        if "error" in r:
            rows.append([r["algorithm"], power(r["rows"]), "fails", "–", "–", "–"])
            continue
        theirs = median_of(r["pairs"], 0)
        mine = median_of(r["pairs"], 1)
        rows.append([r["algorithm"], power(r["rows"]), long(theirs * r["rows"]), long(r["first"]), long(mine * r["rows"]), times(median(r["pairs"]))])
    return f"""## A first batch, and an epoch: MosaicML Streaming

Streaming makes the sample numbers of a whole epoch before the first batch, and
again after a resume in the middle. We make a batch when it is asked for.
*Our epoch* is the time for as many rows as the data set has, batch by batch.

{table(["shuffle", "samples", "their epoch", "our 1st batch", "our epoch", "epoch ratio"], rows)}"""


def deepspeed(results: Results) -> str:
    rows = []
    for r in results["deepspeed"]:
        if "error" in r:
            rows.append([power(r["rows"]), "fails", "–", "–", "–", "–"])
            continue
        theirs, mine = (batch_us(median_of(r["pairs"], side)) for side in (0, 1))
        rows.append(
            [power(r["rows"]), long(r["first"]), long(r["change"]), f"{micro(theirs)}", micro(mine), times(median(r["pairs"]))]
        )
    errors = sorted({r["error"] for r in results["deepspeed"] if "error" in r})
    failed = "".join(f"\nIt fails with\n`{error}`.\n" for error in errors)
    ours = [r["ourChange"] for r in results["deepspeed"] if "ourChange" in r]
    change = f" A batch of ours that begins another pool takes {long(max(ours))} at most." if ours else ""
    text = wrap(
        "Its curriculum admits 20 % of the rows at first and one percentile more every thousand steps. For the first batch and at every "
        "change it copies the admitted rows, shuffles them and writes them to a file; the batches in between are cheap." + change
    )
    return f"""## Curriculum batches: DeepSpeed

{text}

{table(["rows", "1st batch", "a change", "a batch", "ours", "batch ratio"], rows)}{failed}"""


def far(results: Results) -> str:
    rows = [
        [power(r["rows"]), micro(batch_us(median_of(r["pairs"], 1))), micro(batch_us(median_of(r["pairs"], 0))), f"{median(r['pairs']):.2f}×"]
        for r in results["far"]
    ]
    return f"""## Resuming anywhere

A batch is a function of the plan and the step, so nothing is replayed. The same
curriculum, from step 0 on and from step 10⁹ on:

{table(["rows", "step 0", "step 10⁹", "ratio"], rows)}"""


def http(results: Results) -> str:
    found = results["http"]
    rates = sorted(rate / MILLION for rate in found["rates"])
    rows = [
        [str(d["clients"]), f"{d['requests']:,}"]
        + [f"{s * 1000:.2f} ms" for s in (d["median"], statistics.median(d["p99s"]), d["p99s"][0], d["most"])]
        for d in found["delays"]
    ]
    return f"""## Over HTTP into numpy

One client that reads 64 batches per request gets **{statistics.median(rates):.1f} M rows/s**
({rates[0]:.1f} to {rates[-1]:.1f} in {len(rates)} runs). One batch of 1,024 rows per request, until it is a
numpy array; the p99 is the median, and the least, of five rounds:

{table(["clients at once", "requests", "median", "p99", "least p99", "most"], rows)}
Afterwards the process holds {found["memory"] / (1 << 20):.1f} MiB beside the mapped index, one byte for each
row of the data set included.
"""


def versions(results: Results) -> str:
    of, machine = results["versions"], results["machine"]
    return f"""## Versions and machine

- Rust {of["rust"]}, release build; Python {of["python"]}
- numpy {of["numpy"]}; PyTorch {of["torch"]} with numpy {of["torchNumpy"]}
- mosaicml-streaming {of["streaming"]} with numpy {of["streamingNumpy"]}
- deepspeed {of["deepspeed"]}
- {machine["cores"]} cores of {machine["model"]}, {machine["memory"]} GiB of memory, shared with others
"""


def verdict(results: Results) -> str:
    """The goals as lines for a terminal."""
    return "\n".join(f"{'met   ' if met else 'MISSED'}  {what}: {measured} (goal {goal})" for what, measured, goal, met in goals(results))


def machine() -> dict[str, Any]:
    """In general terms."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    names = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    return {"cores": os.cpu_count(), "model": names[0] if names else "an unknown kind", "memory": _memory("MemTotal") >> 30}


def available() -> int:
    """Bytes of memory that are free for us."""
    return _memory("MemAvailable")


def _memory(name: str) -> int:
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def median(pairs: list[list[float]]) -> float:
    return statistics.median(theirs / mine for theirs, mine in pairs)


def least(pairs: list[list[float]]) -> float:
    return min(theirs / mine for theirs, mine in pairs)


def median_of(pairs: list[list[float]], side: int) -> float:
    return statistics.median(pair[side] for pair in pairs)


def batch_us(seconds_per_row: float) -> float:
    return seconds_per_row * BATCH * 1e6


def micro(value: float) -> str:
    return f"{value:,.0f} µs" if value >= 10 else f"{value:.1f} µs"


def long(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


def times(ratio: float) -> str:
    return f"{ratio:,.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def power(rows: int) -> str:
    return {MILLION: "10⁶", 10 * MILLION: "10⁷", 100 * MILLION: "10⁸", 1000 * MILLION: "10⁹"}.get(rows, f"{rows:,}")


def wrap(text: str) -> str:
    lines, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) + 1 > 80 and line:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])
