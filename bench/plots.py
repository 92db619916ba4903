"""The plots of the page, drawn where matplotlib is: `python -m bench.plots`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import matplotlib
import matplotlib.pyplot as plt

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "bench" / "results"
FOLDER: Final = ROOT / "docs" / "plots"
OURS: Final = "#0b6e99"
THEIRS: Final = "#b5651d"
MISSED: Final = "#c0392b"
ZOOMS: Final = (8, 10, 12, 14, 16)


def main() -> None:
    """Draw all plots from the files of results."""
    matplotlib.use("svg")
    plt.rcParams.update({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "bench"})
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = [figure for path in sorted(RESULTS.glob("*.json")) for figure in _figures(path)]
    _draw_ratios([figure for figure in figures if "ratio" in figure])
    _draw_zooms({figure["name"]: figure for figure in figures})


def _figures(path: Path) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return [figure for figure in figures if "missing" not in figure]


def _draw_ratios(figures: list[dict[str, Any]]) -> None:
    """One bar a figure, with the span of its rounds and a mark at its floor."""
    height = 0.24 * len(figures) + 0.9
    drawing, axes = plt.subplots(figsize=(8, height), layout="constrained")
    for row, figure in enumerate(reversed(figures)):
        ratio = figure["ratio"]
        color = MISSED if figure.get("met") is False else OURS
        axes.barh(row, ratio["median"], color=color, height=0.6)
        axes.plot([ratio["min"], ratio["max"]], [row, row], color="black", linewidth=1)
        for floor in figure.get("floors", []):
            if floor["of"].startswith("ratio"):
                axes.plot([floor["limit"]] * 2, [row - 0.4, row + 0.4], color="black", linewidth=2)
    names = [f"{figure['bench']}: {figure['name']}" for figure in reversed(figures)]
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("times better than the peer (line: rounds; black mark: floor; red: missed)")
    axes.spines[["top", "right"]].set_visible(False)
    _save(drawing, "ratios")


def _draw_zooms(by_name: dict[str, dict[str, Any]]) -> None:
    """Milliseconds by zoom, the node and its peer side by side."""
    panels = {
        "uncached tile over HTTP": ("uncached tile z{}, one at a time", "tipg"),
        "tile drawn in the process": ("tile z{}, drawn in the process", "ST_AsMVT"),
        "uncached rows of a grid": ("uncached rows z{}", "get_pollution_in_bounds"),
    }
    drawing, all_axes = plt.subplots(1, 3, figsize=(8, 2.6), layout="constrained")
    for axes, (title, (pattern, peer)) in zip(all_axes, panels.items(), strict=True):
        zooms = [zoom for zoom in ZOOMS if pattern.format(zoom) in by_name]
        found = [by_name[pattern.format(zoom)] for zoom in zooms]
        for side, color, label in (("ours", OURS, "node"), ("theirs", THEIRS, peer)):
            middle = [figure[side]["median"] for figure in found]
            axes.plot(zooms, middle, marker="o", color=color, label=label)
        axes.set_yscale("log")
        axes.set_xticks(zooms)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("zoom")
        axes.legend(frameon=False, fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("ms, median")
    _save(drawing, "zooms")


def _save(drawing: Any, name: str) -> None:
    drawing.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    plt.close(drawing)


if __name__ == "__main__":
    main()
