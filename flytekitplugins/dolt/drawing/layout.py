"""Where boxes and lines of a layered drawing are, from left to right: keys, edges and sizes in, coordinates out.

The usual four steps: edges that close a cycle are turned round, each node gets a layer (longest path), the order
within layers is found by barycentres, and heights by least squares. Lines over several layers have places of their own
in each, so no line crosses a box. Nothing is random: the same graph has the same coordinates. Pure.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

BOX_HEIGHT, LINE_HEIGHT = 46, 10
ROW_GAP, LAYER_GAP = 16, 44
PORT_GAP = 9
SWEEPS = 16
STRAIGHT = 5
"""How much more a line over several layers keeps its height than a box does."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Box:
    """A node, in pixels from the upper left."""

    x: int
    y: int
    width: int
    height: int = BOX_HEIGHT


@dataclass(frozen=True)
class Line:
    """An edge as points from its left end to its right end; between the second and third, and so on, it is level."""

    points: tuple[tuple[int, int], ...]
    is_reversed: bool
    """Whether it points to its left end, since it closes a cycle."""


@dataclass(frozen=True)
class Layout:
    """All coordinates of a drawing."""

    boxes: Mapping[str, Box]
    lines: Mapping[Pair, Line]
    width: int
    height: int


def layout(widths: Mapping[str, float], edges: Sequence[Pair]) -> Layout:
    """Return where each node and each edge is; nodes stand in the order of ``widths``, no edge joins a node to itself.

    >>> layout({"a": 50, "b": 50}, [("a", "b")]).boxes
    {'a': Box(x=0, y=0, width=50, height=46), 'b': Box(x=94, y=0, width=50, height=46)}
    """
    turned = _closing(list(widths), edges)
    forward = list(dict.fromkeys((b, a) if (a, b) in turned else (a, b) for a, b in edges))
    layer_of = _layers(list(widths), forward)
    chains = {edge: _chain(edge, layer_of) for edge in forward}
    rows = _ordered(_rows(layer_of, chains), chains)
    middles = _middles(rows, chains)
    columns = _columns(rows, widths)
    top = min((middle - _height(key) / 2 for key, middle in middles.items()), default=0.0)
    boxes = {
        key: Box(
            round(columns[layer_of[key]][0]),
            round(middles[key] - BOX_HEIGHT / 2 - top),
            round(columns[layer_of[key]][1] - columns[layer_of[key]][0]),
        )
        for key in widths
    }
    lines = _lines(edges, turned, chains, {key: middle - top for key, middle in middles.items()}, columns, layer_of)
    bottom = max((middle + _height(key) / 2 - top for key, middle in middles.items()), default=0.0)
    return Layout(boxes, lines, round(columns[-1][1]) if columns else 0, round(bottom))


# ------------------------------------------------------------------------------------------------- cycles and layers


def _after(edges: Iterable[Pair]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        found[source].append(target)
    return found


def _closing(keys: Sequence[str], edges: Sequence[Pair]) -> set[Pair]:
    """Return the edges that lead back to a node on the way to them; without these there is no cycle."""
    after, targets = _after(edges), {target for _, target in edges}
    closing: set[Pair] = set()
    done: set[str] = set()
    for start in sorted(keys, key=lambda key: key in targets):  # stable: those first to which nothing leads
        way, stack = {start: None} if start not in done else {}, [(start, iter(after[start]))]
        while stack and way:
            current, rest = stack[-1]
            target = next(rest, None)
            if target is None:
                stack.pop()
                way.pop(current)
                done.add(current)
            elif target in way:
                closing.add((current, target))
            elif target not in done:
                way[target] = None
                stack.append((target, iter(after[target])))
    return closing


def _layers(keys: Sequence[str], edges: Sequence[Pair]) -> dict[str, int]:
    """Return the layer of each node: behind all that leads to it, and no further from what it leads to than needed."""
    after, before = _after(edges), _after((target, source) for source, target in edges)
    order = _topological(keys, after, before)
    layer: dict[str, int] = {}
    for key in order:
        layer[key] = max((layer[source] + 1 for source in before[key]), default=0)
    for key in reversed(order):
        if after[key] and len(after[key]) >= len(before[key]):
            layer[key] = min(layer[target] for target in after[key]) - 1
    return layer


def _topological(keys: Sequence[str], after: Mapping[str, list[str]], before: Mapping[str, list[str]]) -> list[str]:
    waits = {key: len(before[key]) for key in keys}
    order = [key for key in keys if not waits[key]]
    for key in order:  # it grows meanwhile
        for target in after[key]:
            waits[target] -= 1
            if not waits[target]:
                order.append(target)
    return order


def _chain(edge: Pair, layer_of: Mapping[str, int]) -> tuple[str, ...]:
    """Return the node, the places on the layers between, and the other node."""
    source, target = edge
    between = range(layer_of[source] + 1, layer_of[target])
    return (source, *(f"\n{source}\n{target}\n{layer}" for layer in between), target)


def _is_place(key: str) -> bool:
    return key.startswith("\n")


def _height(key: str) -> int:
    return LINE_HEIGHT if _is_place(key) else BOX_HEIGHT


# --------------------------------------------------------------------------------------------------- order in layers


def _rows(layer_of: Mapping[str, int], chains: Mapping[Pair, tuple[str, ...]]) -> list[list[str]]:
    rows: list[list[str]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for key, layer in layer_of.items():
        rows[layer].append(key)
    for (source, _), chain in chains.items():
        for step, place in enumerate(chain[1:-1], start=1):
            rows[layer_of[source] + step].append(place)
    return rows


def _neighbours(chains: Mapping[Pair, tuple[str, ...]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    links = [link for chain in chains.values() for link in pairwise(chain)]
    return _after((b, a) for a, b in links), _after(links)


def _ordered(rows: list[list[str]], chains: Mapping[Pair, tuple[str, ...]]) -> list[list[str]]:
    """Return the rows in an order in which fewer lines cross: the best of some sweeps."""
    left, right = _neighbours(chains)
    best, fewest = rows, _crossings(rows, right)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        rows = _swept(rows, left) if sweep % 2 == 0 else _swept(rows[::-1], right)[::-1]
        crossings = _crossings(rows, right)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _swept(rows: Sequence[list[str]], towards: Mapping[str, list[str]]) -> list[list[str]]:
    """Return each row in the order of the barycentres of the neighbours in the row before."""
    done: list[list[str]] = []
    at: dict[str, float] = {}
    for row in rows:
        own = {key: float(number) for number, key in enumerate(row)}
        centre = {key: _mean([at[n] for n in towards.get(key, ()) if n in at], own[key]) for key in row}
        done.append(sorted(row, key=centre.__getitem__))
        at = {key: float(number) for number, key in enumerate(done[-1])}
    return done


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(rows: Sequence[Sequence[str]], right: Mapping[str, list[str]]) -> int:
    """Return how many pairs of lines cross between neighbouring rows."""
    count = 0
    for row, following in pairwise(rows):
        at = {key: number for number, key in enumerate(following)}
        seen: list[int] = []
        for key in row:
            ends = sorted(at[target] for target in right.get(key, ()))
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


# ----------------------------------------------------------------------------------------------------------- heights


def _middles(rows: Sequence[Sequence[str]], chains: Mapping[Pair, tuple[str, ...]]) -> dict[str, float]:
    """Return the vertical middle of each node and place, near those of its neighbours, without overlaps."""
    left, right = _neighbours(chains)
    middles: dict[str, float] = {}
    for row in rows:
        middles.update(_spread(row, dict.fromkeys(row, 0.0)))
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for row in rows if forward else rows[::-1]:
            sides = (left, right) if sweep >= SWEEPS - 2 else ((left,) if forward else (right,))
            near = {key: [n for side in sides for n in side.get(key, ())] for key in row}
            middles.update(_spread(row, {key: _wish(key, near[key], middles) for key in row}))
    return middles


def _wish(key: str, near: Sequence[str], middles: Mapping[str, float]) -> float:
    """Return where a node would best be: amid its neighbours; a line as high as its other places."""
    straight = [n for n in near if _is_place(n)] if _is_place(key) else []
    return _mean([middles[n] for n in straight or near], middles[key])


def _spread(row: Sequence[str], wanted: Mapping[str, float]) -> dict[str, float]:
    """Return the middles next to the wanted ones (least squares) in which the row keeps its order and its gaps.

    The distance from the row's first middle is taken off, so that what is left may only grow; where it would fall, a
    run of nodes moves as one, to the mean (pool adjacent violators).
    """
    offsets: list[float] = []
    for key in row:
        before = offsets[-1] + (_height(row[len(offsets) - 1]) + _height(key)) / 2 + ROW_GAP if offsets else 0.0
        offsets.append(before)
    runs: list[tuple[float, int, int]] = []  # sum of the weighted wishes, sum of the weights, members
    for key, offset in zip(row, offsets, strict=True):
        weight = STRAIGHT if _is_place(key) else 1
        total, weights, members = (wanted[key] - offset) * weight, weight, 1
        while runs and runs[-1][0] / runs[-1][1] > total / weights:
            before_it = runs.pop()
            total, weights, members = total + before_it[0], weights + before_it[1], members + before_it[2]
        runs.append((total, weights, members))
    means = [total / weights for total, weights, members in runs for _ in range(members)]
    return {key: mean + offset for key, mean, offset in zip(row, means, offsets, strict=True)}


# ------------------------------------------------------------------------------------------------- columns and lines


def _columns(rows: Sequence[Sequence[str]], widths: Mapping[str, float]) -> list[tuple[float, float]]:
    """Return the left and right end of each layer."""
    columns: list[tuple[float, float]] = []
    for row in rows:
        x = columns[-1][1] + LAYER_GAP if columns else 0.0
        columns.append((x, x + max(widths[key] for key in row if not _is_place(key))))
    return columns


def _lines(
    edges: Sequence[Pair],
    turned: set[Pair],
    chains: Mapping[Pair, tuple[str, ...]],
    middles: Mapping[str, float],
    columns: Sequence[tuple[float, float]],
    layer_of: Mapping[str, int],
) -> dict[Pair, Line]:
    ways = {edge: chains[edge[::-1] if edge in turned else edge] for edge in edges}
    leaving = _ports(ways, middles, at_end=False)
    arriving = _ports(ways, middles, at_end=True)
    lines = {}
    for edge, way in ways.items():
        first = layer_of[way[0]]
        points = [(columns[first][1], leaving[edge])]
        for step, place in enumerate(way[1:-1], start=1):
            points += [(x, middles[place]) for x in columns[first + step]]
        points.append((columns[layer_of[way[-1]]][0], arriving[edge]))
        lines[edge] = Line(tuple((round(x), round(y)) for x, y in points), edge in turned)
    return lines


def _ports(ways: Mapping[Pair, tuple[str, ...]], middles: Mapping[str, float], *, at_end: bool) -> dict[Pair, float]:
    """Return the height at which each line leaves, or reaches, its box: in the order of what is on the other side."""
    own, other = (-1, -2) if at_end else (0, 1)
    sharing: dict[str, list[Pair]] = defaultdict(list)
    for edge, way in ways.items():
        sharing[way[own]].append(edge)
    found = {}
    for key, lines in sharing.items():
        lines.sort(key=lambda edge: middles[ways[edge][other]])
        step = min(PORT_GAP, (BOX_HEIGHT - 16) / max(1, len(lines) - 1))
        for number, edge in enumerate(lines):
            found[edge] = middles[key] + (number - (len(lines) - 1) / 2) * step
    return found
