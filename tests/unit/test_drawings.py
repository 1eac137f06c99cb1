"""Graphs as pictures: nothing overlaps, is cut or means anything to the format, and the same graph is the same text."""

from __future__ import annotations

import doctest
import re
from datetime import datetime, timedelta
from types import ModuleType

import pytest
from hostile import CLASSICS
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import check_places, read_dot, read_mermaid, read_svg

from flytekitplugins.dolt.drawing import collapsing, dot, figure, graphs, labels, layout, mermaid, svg
from flytekitplugins.dolt.drawing.graphs import Edge, Graph, Node

DAY = datetime(2024, 5, 7)
HOSTILE = [
    *(text for text in CLASSICS if text),
    *("<script>document.title='owned'</script>", "]]>", "-->", "<!--", '%%{init: {"theme":"dark"}}%%', "</svg>"),
    *("end", "subgraph", "[x](y){z}|w|", ":::start", "#lt;b#gt;", "#35;", "&lt;b&gt;", "&#60;", "`**md**`", "<br/>"),
    *("$$x^2$$", "fa:fa-car", "\\n", "\\N\\G", "n1 --> n2", "\n  n1 --> n2", '"]', '"; }', "a\u202eb", "a\u2066b"),
    *("👩\u200d👩\u200d👧", "z\u0338\u0336a\u0334", "\ufffe", "عربى", "a.b." + "c" * 400, "…"),
]


def graph(names: list[str], edges: list[tuple[int, int]], **options: object) -> Graph:
    """Return a graph of tables and executions in turn, with edges between their numbers."""
    kinds: tuple[graphs.Kind, ...] = ("table", "execution", "commit", "gap")
    nodes = tuple(
        Node(f"k{n}", kinds[n % 4], name, mark=name, family=name, when=DAY, about=(name,), is_start=n == 0)
        for n, name in enumerate(names)
    )
    pairs = dict.fromkeys((a, b) for a, b in edges if a != b)
    return Graph("Lineage of x", nodes, tuple(Edge(f"k{a}", f"k{b}") for a, b in pairs), **options)  # type: ignore[arg-type]


SHAPES = st.integers(1, 14).flatmap(
    lambda count: st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30).map(
        lambda edges: graph([f"n{number}" * (1 + number % 3) for number in range(count)], edges)
    )
)


@settings(max_examples=200, deadline=None)
@given(SHAPES)
def test_boxes_and_lines_keep_clear_of_each_other(given: Graph) -> None:
    """Whatever is joined to what, cycles included: no box is on another, and no line goes through a box."""
    picture = read_svg(svg.document(given))
    assert (len(picture.boxes), len(picture.edges)) == (len(given.nodes), len(given.edges))
    check_places(picture)


@settings(max_examples=100, deadline=None)
@given(SHAPES)
def test_an_edge_points_to_the_right_but_for_cycles(given: Graph) -> None:
    """Without a cycle each source is left of its target; with one some edge is turned round, and its arrow with it."""
    places = layout.layout({node.key: 50.0 for node in given.nodes}, [(e.source, e.target) for e in given.edges])
    for (source, target), line in places.lines.items():
        left, right = (target, source) if line.is_reversed else (source, target)
        assert places.boxes[left].x < places.boxes[right].x
        assert line.points[0][0] == places.boxes[left].x + places.boxes[left].width
        assert line.points[-1][0] == places.boxes[right].x
    turned = {pair for pair, line in places.lines.items() if line.is_reversed}
    assert (turned != set()) == _has_cycle(given)


def _has_cycle(given: Graph) -> bool:
    """Whether a graph is not used up when nodes to which nothing leads are taken away, one after the other."""
    left, edges = {node.key for node in given.nodes}, set(given.edges)
    while free := left - {edge.target for edge in edges}:
        left -= free
        edges = {edge for edge in edges if edge.source in left}
    return bool(left)


def test_an_arrow_has_its_head_at_the_target() -> None:
    """A table that is read and written by one execution has two lines, and one head at either end."""
    given = graph(["users", "append"], [(0, 1), (1, 0)])
    there, back = (line for line in svg.document(given).split("<path ")[1:])
    head = r"M(\d+) \d+L(\d+) \d+L"
    ends = [re.findall(head, way)[0] for way in (there, back)]
    assert [int(tip) > int(behind) for behind, tip in ends] == [True, False]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_means_anything_to_a_format(name: str) -> None:
    """Each reader finds the boxes that there are, with the name as text, in every format."""
    given = graph([name] * 4, [(0, 1), (2, 1), (3, 1)], notes=(name,))
    first, second = labels.name(given.nodes[0]), labels.mark(given.nodes[0])
    picture, flow, drawn = (
        read(draw(given))
        for read, draw in ((read_svg, svg.document), (read_mermaid, mermaid.text), (read_dot, dot.text))
    )
    expected = [line for line in (first, second) if line]
    assert list(picture.boxes[0].lines) == [first, second]
    for found in (flow, drawn):
        assert found.nodes["n0"] == expected  # type: ignore[union-attr]
        assert len(found.nodes) == 4  # type: ignore[union-attr]
        assert found.edges == [("n0", "n1"), ("n2", "n1"), ("n3", "n1")]
    for text in (svg.document(given), mermaid.text(given), dot.text(given), figure.figure(given, 300_000)):
        assert not [sign for sign in text if not sign.isprintable() and sign != "\n"]
        assert "<script" not in text or text.startswith("digraph")


def test_a_password_in_a_name_is_not_drawn() -> None:
    """An address with a password is shown without it, in every format, however short the box is."""
    given = graph(["mysql://me:s3cret@host/db"] * 4, [(0, 1)], notes=("see https://me:s3cret@host",))
    for text in (svg.document(given), mermaid.text(given), dot.text(given), figure.figure(given, 300_000)):
        assert "s3cret" not in text
        assert "host" in text


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_labels_have_room(name: str) -> None:
    """A line is never wider than the widest box, and a cut one says so."""
    node = Node("k", "execution", name, mark=name, when=DAY)
    for line, size in ((labels.name(node), labels.NAME_PX), (labels.mark(node), labels.MARK_PX)):
        assert labels.width(line, size) <= labels.MAX_WIDTH
    if labels.width(node.title, labels.NAME_PX) > 3 * labels.MAX_WIDTH:
        assert "…" in labels.name(node)


def test_a_long_name_is_cut_and_stands_whole_elsewhere() -> None:
    """Of a table the beginning is kept, of a task its last parts; all of it is the title, the tooltip or a comment."""
    table, task = "a" * 20 + "b" * 40, "shop.workflows.calculations.of_each_month.features.build"
    given = graph([table, task], [(1, 0)])
    boxes = read_svg(svg.document(given)).boxes
    assert boxes[0].lines[0].startswith("aaaa")
    assert boxes[0].lines[0].endswith("…")
    assert boxes[1].lines[0] == "…features.build"
    for said in (
        "".join(box.title for box in boxes),
        "".join(read_mermaid(mermaid.text(given)).said),
        "".join(read_dot(dot.text(given)).said),
    ):
        assert table in said
        assert task in said


def test_kinds_differ_in_shape() -> None:
    """Without any colour a table, an execution, another commit, a gap and the start can be told apart."""
    frames = [
        part.partition("</title>")[2].partition("</g>")[0]
        for part in svg.document(graph(["x"] * 4, [])).split('<g class="node ')[1:]
    ]
    looks = [
        ("polygon" in frame, 'class="bar"' in frame, "stroke-dasharray" in frame, 'rx="23"' in frame, '"3"/>' in frame)
        for frame in frames
    ]
    assert looks == [
        (False, True, False, False, True),
        (False, False, False, True, False),
        (True, False, False, False, False),
        (False, False, True, False, False),
    ]


def runs(count: int, tasks: int = 3) -> Graph:
    """Return what so many executions of some tasks drew, each from one table into the next."""
    nodes = {}
    edges = []
    for number in range(count):
        task, round_ = number % tasks, number // tasks
        when = DAY + timedelta(days=round_)
        made = Node(
            f"t{task + 1} {round_}", "table", f"t{task + 1}", "c" * 8, f"t{task + 1}", when, is_start=not number
        )
        of = Node(f"t{task} {round_}", "table", f"t{task}", "c" * 8, f"t{task}", when)
        maker = Node(f"x{number}", "execution", f"task{task}", f"e{round_}", f"task{task}", when)
        nodes |= {node.key: nodes.get(node.key, node) for node in (made, of, maker)}
        edges += [Edge(of.key, maker.key), Edge(maker.key, made.key)]
    return Graph("Lineage of t1", tuple(nodes.values()), tuple(edges))


def test_many_executions_become_one_box_each_task() -> None:
    """Of 300 executions of 3 tasks there are 3 boxes and 4 tables, which say how many they are; the picture says so."""
    picture = read_svg(svg.document(collapsing.collapsed(runs(300))))
    assert sorted(box.lines for box in picture.boxes) == [
        *((f"t{n}", "100 versions to 2024-08-14") for n in range(4)),
        *((f"task{n}", "100 runs to 2024-08-14") for n in range(3)),
    ]
    assert len(picture.edges) == 6
    assert all("2024-05-07 to 2024-08-14" in box.title for box in picture.boxes)
    assert "400 versions of tables are drawn as 4 boxes." in picture.texts
    assert "300 executions and commits are drawn as 3 boxes." in picture.texts
    check_places(picture)


def test_few_boxes_are_all_drawn() -> None:
    """Up to 24 boxes nothing is collapsed."""
    small = runs(9)
    assert len(small.nodes) <= collapsing.COLLAPSE_OVER
    assert len(read_svg(collapsing.fitted(small, svg.document, 300_000)).boxes) == len(small.nodes)


@pytest.mark.parametrize(("draw", "most"), [(svg.document, 300_000), (mermaid.text, 49_999), (dot.text, 300_000)])
@pytest.mark.parametrize("name", ["<", "😀", "\0"], ids=ascii)
def test_it_stays_small(draw: object, most: int, name: str) -> None:
    """Hundreds of tables with long hostile names, each joined to many: it is bounded, and says what is missing."""
    names = [f"{number}{name * 400}" for number in range(400)]
    wide = graph(names, [(a, (a * 7 + b) % 400) for a in range(400) for b in range(1, 6)])
    text = collapsing.fitted(wide, draw, most)  # type: ignore[arg-type]
    assert len(text.encode()) <= most
    assert "boxes that are further away are not drawn" in text
    if draw is svg.document:
        check_places(read_svg(text))
    assert len(figure.figure(wide, 60_000).encode()) <= 60_000


def test_edges_are_bounded_for_mermaid() -> None:
    """Mermaid draws 500 edges; where all are joined to all, boxes are left out until there are fewer."""
    dense = graph(["x"] * 90, [(a, b) for a in range(90) for b in range(90)])
    assert 100 < len(read_mermaid(mermaid.text(collapsing.nearest(dense, 100))).edges) <= 500


def test_the_same_graph_is_the_same_text() -> None:
    """In every format, each time."""
    for draw in (svg.document, svg.inline, mermaid.text, dot.text, lambda given: figure.figure(given, 10**6)):
        assert draw(runs(30)) == draw(runs(30))


def test_it_names_itself_for_those_who_do_not_see_it() -> None:
    """It is an image with a title and a description, which has the edges; the page has them as a table, too."""
    given = graph(["users", "load", "by hand", "gone"], [(1, 0), (2, 0), (3, 1)])
    picture = read_svg(svg.document(given))
    assert picture.title == "Lineage of x"
    assert picture.description.startswith("1 table, 1 execution, 1 other commit, 1 table not followed. ")
    assert "load load → users users" in picture.description
    page = figure.figure(given, 300_000)
    assert 'role="img"' in page
    assert "<summary>3 edges as a table</summary>" in page
    assert "<tr><td>load load</td><td>users users</td></tr>" in page


def test_it_loads_nothing() -> None:
    """No script, link, font, import or picture is in it."""
    text = svg.document(runs(3)).replace('xmlns="http://www.w3.org/2000/svg"', "", 1)
    for sign in ("http", "href", "src", "url(", "@import", "<script", "@font-face", "<image", "<foreignObject"):
        assert sign not in text


@pytest.mark.parametrize("module", [graphs, layout, mermaid, dot])
def test_examples_in_docstrings(module: ModuleType) -> None:
    """They say what is so."""
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0
