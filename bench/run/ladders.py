"""Which of the files that a person named are one model at several levels, and what each model is called.

    ladder = in_ladders(found, say)
    ladder[0].name, ladder[1].doubt

A fine-tune has the shapes and the vocabulary of its base, so files count as one model by what they are called: those
whose names differ in the level alone, and those that have one name and one chat template inside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, count
from pathlib import Path

from bench.models.registry import Model
from engine.gguf_file import GgufFile, same_model
from engine.quantize import SOURCES

MEASURED_APART = ", so they are measured apart"

_MOST_DIFFERENCES = 3
_LEVEL_SUFFIX = re.compile(
    r"[-._]((?:UD-)?(?:I?Q\d\w*|TQ\d_\d|BF16|FP?16|FP?32|MXFP4\w*|NVFP4)(?:-pure)?)$", re.IGNORECASE
)
_PART_SUFFIX = re.compile(r"-\d{5}-of-\d{5}$")
_SEPARATORS = re.compile(r"[-._ ]+")


@dataclass(frozen=True, slots=True)
class Found:
    """One file to measure; `quant` is the level asked of it, None: its own. From the Hub come files as they are.

    `doubt`: how it differs from another file of its ladder, which does not make it another model.
    """

    name: str
    file: GgufFile
    quant: str | None
    row: Model | None
    is_from_hub: bool
    doubt: str = ""

    @property
    def is_local(self) -> bool:
        """Whether a person named the file itself."""
        return self.row is None and not self.is_from_hub


def in_ladders(files: Sequence[Found], say: Callable[[str], None], then: str = MEASURED_APART) -> list[Found]:
    """Give local files that are one model at different levels one name; what is told apart is said.

    `then`: what follows from it, the end of a sentence.
    """
    kins = _kins([found for found in files if found.is_local])
    for kin in kins[1:]:
        _say_apart(kins, kin[0], say, then)
    ladders: list[list[Found]] = []
    for kin in kins:
        apart = list(_ladders(kin))
        if len(apart) > 1:
            level = _level_twice(kin)
            _say(
                [ladder[0] for ladder in apart], f"{level} is there twice, and a ladder has each level once", say, then
            )
        ladders += apart
    names = _names(ladders, [found for found in files if not found.is_local])
    known = {
        found.file.path: (name, _doubt(ladder[0], found))
        for name, ladder in zip(names, ladders, strict=True)
        for found in ladder
    }

    def told(found: Found) -> Found:
        name, doubt = known[found.file.path]
        return replace(found, name=name, doubt=doubt)

    return [told(found) if found.is_local else found for found in files]


def _kins(files: Iterable[Found]) -> list[list[Found]]:
    """The files that could be levels of one model, judged by the first of them."""
    kins: list[list[Found]] = []
    for found in files:
        kin = next((kin for kin in kins if not _why_apart(kin[0], found)), None)
        if kin is None:
            kins.append([found])
        else:
            kin.append(found)
    return kins


def _why_apart(first: Found, found: Found) -> tuple[str, ...]:
    """What makes a file another model; a name that differs in the level alone outweighs what stands in the file."""
    sameness = same_model(first.file, found.file)
    return sameness.conflicts or (() if _called(first) == _called(found) else sameness.marks)


def _ladders(kin: Sequence[Found], ways: Sequence[Callable[[Found], object]] | None = None) -> Iterator[list[Found]]:
    """One ladder; or where a level is there twice those of each name, else of each folder, else of each file.

    Which of two files of one level belongs to the others is never guessed.
    """
    ways = (_called, _folder, _path) if ways is None else ways
    if not _level_twice(kin):
        yield list(kin)
        return
    groups: dict[object, list[Found]] = {}
    for found in kin:
        groups.setdefault(ways[0](found), []).append(found)
    for group in groups.values():
        yield from _ladders(group, ways[1:])


def _level_twice(kin: Sequence[Found]) -> str | None:
    """The first level of which there are two files."""
    pairs = combinations({found.file.path: found for found in kin}.values(), 2)
    return next((first.file.quant for first, second in pairs if _is_one_level(first, second)), None)


def _is_one_level(first: Found, second: Found) -> bool:
    """Whether two files have one level, and no names such as Q2_K and UD-Q2_K_XL that say they were made otherwise."""
    if first.file.quant != second.file.quant:
        return False
    spelled = {_level_in(each.file.path).upper() for each in (first, second)}
    return first.file.quant in SOURCES or "" in spelled or len(spelled) == 1


def _say_apart(kins: Sequence[Sequence[Found]], found: Found, say: Callable[[str], None], then: str) -> None:
    """Say why a file begins another model, against the first one of its shapes."""
    firsts = [kin[0] for kin in kins]
    earlier = firsts[: firsts.index(found)]
    alike = (first for first in earlier if same_model(first.file, found.file).same)
    first = next(alike, earlier[0])
    reasons = _why_apart(first, found)
    _say([first, found], "; ".join(reasons[:_MOST_DIFFERENCES]), say, then)
    if same_model(first.file, found.file).same:
        say("If they are one model, give their files one name, in which the level alone differs.")


def _say(files: Sequence[Found], reason: str, say: Callable[[str], None], then: str) -> None:
    paths = [found.file.path for found in files]
    is_clear = len(set(map(stem_of, paths))) == len(paths)
    *most, last = (path.name if is_clear else str(path) for path in paths)
    say(f"{', '.join(most)} and {last} are taken for different models{then}: {reason}")


def _doubt(first: Found, found: Found) -> str:
    differences = list(same_model(first.file, found.file).notes)
    if _called(first) != _called(found):
        differences.insert(0, f"the file's name: {stem_of(first.file.path)!r} / {stem_of(found.file.path)!r}")
    return f"from {first.file.path.name} in {'; '.join(differences[:_MOST_DIFFERENCES])}" if differences else ""


def _names(ladders: Sequence[Sequence[Found]], others: Sequence[Found]) -> list[str]:
    """A name for each model of local files, which no other model has; `others` have theirs from elsewhere."""
    stems = [stem_of(ladder[0].file.path) for ladder in ladders]
    taken = {
        other.name
        for ladder, stem in zip(ladders, stems, strict=True)
        for other in others
        if other.name == stem and not same_model(other.file, ladder[0].file).same
    }
    return called_apart([(ladder[0].file.path, stem) for ladder, stem in zip(ladders, stems, strict=True)], taken)


def called_apart(files: Sequence[tuple[Path, str]], taken: Collection[str] = ()) -> list[str]:
    """What to call files that have a name each: with the folder where another has it too, and numbered at last."""
    calls = Counter([*(name for _, name in files), *taken])
    found: list[str] = []
    for path, name in files:
        full = name if calls[name] == 1 else f"{path.absolute().parent.name}/{name}"
        numbered = (f"{full} {number}" for number in count(2))
        found.append(next(each for each in chain((full,), numbered) if each not in (*found, *taken)))
    return found


def stem_of(path: Path) -> str:
    """Name a model by its file, without level and part."""
    stem = _PART_SUFFIX.sub("", path.stem)
    return _LEVEL_SUFFIX.sub("", stem) or stem


def _level_in(path: Path) -> str:
    """The level as a file's name spells it; "": it names none."""
    found = _LEVEL_SUFFIX.search(_PART_SUFFIX.sub("", path.stem))
    return found[1] if found else ""


def _called(found: Found) -> str:
    """The name without the level, and without what people spell otherwise: case, and what stands between the words."""
    return _SEPARATORS.sub("-", stem_of(found.file.path)).casefold()


def _folder(found: Found) -> Path:
    return found.file.path.absolute().parent


def _path(found: Found) -> Path:
    return found.file.path
