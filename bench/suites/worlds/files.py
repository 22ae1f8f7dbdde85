"""A small drive: folders that hold text files. Files can be moved and written, and an empty folder can be deleted.

    start(5).files["f-3ad1"]   # File(name="Lisbon hotel.pdf", folder_id="d-90c2", text="...")

A new folder's or file's id follows from its name and place, so that independent calls may come in any order.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from bench.suites.worlds import ToolFault

VERSION = "1"
"""Changes when a tool could answer otherwise; part of the hash of every case that plays here."""

_FOLDERS = ("Inbox", "Archive", "Old drafts", "Recipes")
_FILES = (
    ("Inbox", "Lisbon hotel.pdf", "Two nights, breakfast included."),
    ("Inbox", "Lisbon tickets.pdf", "Seats 14A and 14B."),
    ("Inbox", "Gas invoice.pdf", "To be paid by 20 March."),
    ("Old drafts", "Speech v1.txt", "Dear all, it has been a long year."),
    ("Old drafts", "Speech v2.txt", "Dear friends, what a year."),
    ("Recipes", "Plum cake.txt", 'Cream butter & sugar, fold in 4 eggs – "slowly!" – then bake at 175 °C.'),
    ("Recipes", "Lentil soup.txt", "Lentils, carrots, a bay leaf."),
)

FolderId = Annotated[str, Field(description="Id of the folder, e.g. d-1a2b.")]
FileId = Annotated[str, Field(description="Id of the file, e.g. f-1a2b.")]


@dataclass(slots=True)
class Folder:
    name: str


@dataclass(slots=True)
class File:
    name: str
    folder_id: str
    text: str


@dataclass(slots=True)
class State:
    folders: dict[str, Folder]
    files: dict[str, File]


def start(seed: int) -> State:
    """Always the same folders and files; their ids by the seed."""
    rng = random.Random(seed)
    ids = [f"{number:04x}" for number in rng.sample(range(0x1000, 0xFFFF), len(_FOLDERS) + len(_FILES))]
    place = {name: f"d-{ids.pop()}" for name in _FOLDERS}
    files = {f"f-{ids.pop()}": File(name, place[folder], text) for folder, name, text in _FILES}
    return State({id_: Folder(name) for name, id_ in place.items()}, files)


def list_folders(state: State) -> dict[str, Any]:
    """All folders of the drive, with their ids."""
    return {"folders": [{"folder_id": id_, "name": folder.name} for id_, folder in state.folders.items()]}


def list_files(state: State, *, folder_id: FolderId) -> dict[str, Any]:
    """The files in one folder, with their ids."""
    _folder(state, folder_id)
    return {"files": [_shown(id_, file) for id_, file in state.files.items() if file.folder_id == folder_id]}


def find_files(
    state: State, *, words: Annotated[str, Field(description="Words from the file's name.")]
) -> dict[str, Any]:
    """Find files in all folders by words of their name."""
    wanted = words.casefold().split()
    found = [(id_, f) for id_, f in state.files.items() if all(word in f.name.casefold() for word in wanted)]
    return {"files": [_shown(id_, file) | {"folder_id": file.folder_id} for id_, file in found]}


def read_file(state: State, *, file_id: FileId) -> dict[str, Any]:
    """The text of a file."""
    file = _file(state, file_id)
    return {"name": file.name, "text": file.text}


def create_folder(
    state: State, *, name: Annotated[str, Field(description="Name of the new folder.")]
) -> dict[str, Any]:
    """Create a folder; gives its id."""
    if any(folder.name.casefold() == name.casefold() for folder in state.folders.values()):
        raise ToolFault("conflict", f"there is a folder named '{name}' already", "name")
    folder_id = f"d-{_mark(name)}"
    state.folders[folder_id] = Folder(name)
    return {"folder_id": folder_id}


def write_file(
    state: State,
    *,
    folder_id: FolderId,
    name: Annotated[str, Field(description="Name of the new file, with its ending.")],
    text: Annotated[str, Field(description="All of its text.")],
) -> dict[str, Any]:
    """Write a new text file into a folder; gives the file's id."""
    _folder(state, folder_id)
    file_id = f"f-{_mark(folder_id, name)}"
    if file_id in state.files:
        raise ToolFault("conflict", f"there is a file named '{name}' in this folder already", "name")
    state.files[file_id] = File(name, folder_id, text)
    return {"file_id": file_id}


def move_file(state: State, *, file_id: FileId, folder_id: FolderId) -> dict[str, Any]:
    """Move one file to another folder."""
    _folder(state, folder_id)
    _file(state, file_id).folder_id = folder_id
    return {"file_id": file_id, "folder_id": folder_id}


def delete_folder(state: State, *, folder_id: FolderId) -> dict[str, Any]:
    """Delete a folder. Only works while it is empty."""
    _folder(state, folder_id)
    n_files = sum(file.folder_id == folder_id for file in state.files.values())
    if n_files:
        raise ToolFault("conflict", f"the folder still holds {n_files} files", "folder_id")
    del state.folders[folder_id]
    return {"folder_id": folder_id, "status": "deleted"}


TOOLS = (list_folders, list_files, find_files, read_file, create_folder, write_file, move_file, delete_folder)


def _shown(file_id: str, file: File) -> dict[str, Any]:
    return {"file_id": file_id, "name": file.name}


def _folder(state: State, folder_id: str) -> Folder:
    if folder_id not in state.folders:
        raise ToolFault("not_found", f"there is no folder '{folder_id}'", "folder_id")
    return state.folders[folder_id]


def _file(state: State, file_id: str) -> File:
    if file_id not in state.files:
        raise ToolFault("not_found", f"there is no file '{file_id}'", "file_id")
    return state.files[file_id]


def _mark(*parts: str) -> str:
    return f"{zlib.crc32(repr(parts).encode()) & 0xFFFF:04x}"
