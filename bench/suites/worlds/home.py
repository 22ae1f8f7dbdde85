"""A home: doors with locks, an alarm that needs them all locked, rooms with heating, and scenes that can be started.

    start(1).rooms["lounge"]   # Room(target_celsius=21.5, measured_celsius=20.0)

The devices behind names that everybody uses (rooms, doors) are called by these; scenes have ids.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.suites.worlds import ToolFault

VERSION = "1"
"""Changes when a tool could answer otherwise; part of the hash of every case that plays here."""

RoomName = Annotated[Literal["lounge", "nursery", "kitchen", "study"], Field(description="The room.")]
DoorName = Annotated[Literal["front", "back", "garage", "cellar"], Field(description="The door.")]

_SCENES = ("Story time", "Film night", "Good morning", "All off")


@dataclass(slots=True)
class Room:
    target_celsius: float
    measured_celsius: float


@dataclass(slots=True)
class State:
    rooms: dict[str, Room]
    locked: dict[str, bool]
    scenes: dict[str, str]
    running_scene: str | None = None
    alarm_is_armed: bool = False


def start(seed: int) -> State:
    """Temperatures, ids of scenes and which two doors are unlocked by the seed; the alarm is off."""
    rng = random.Random(seed)
    rooms = {
        name: Room(rng.randrange(34, 46) / 2, rng.randrange(32, 46) / 2)
        for name in ("lounge", "nursery", "kitchen", "study")
    }
    doors = ("front", "back", "garage", "cellar")
    unlocked = rng.sample(doors, 2)
    ids = (f"sc-{number}" for number in rng.sample(range(100, 999), len(_SCENES)))
    return State(rooms, {door: door not in unlocked for door in doors}, dict(zip(ids, _SCENES, strict=True)))


def list_doors(state: State) -> dict[str, Any]:
    """All doors, and whether each is locked."""
    return {"doors": [{"door": door, "locked": locked} for door, locked in state.locked.items()]}


def lock_door(state: State, *, door: DoorName) -> dict[str, Any]:
    """Lock one door."""
    if state.locked[door]:
        raise ToolFault("conflict", f"the {door} door is locked already", "door")
    state.locked[door] = True
    return {"door": door, "locked": True}


def arm_alarm(state: State) -> dict[str, Any]:
    """Arm the alarm. Only works while all doors are locked."""
    unlocked = [door for door, locked in state.locked.items() if not locked]
    if unlocked:
        raise ToolFault("conflict", f"not locked: {', '.join(unlocked)}")
    state.alarm_is_armed = True
    return {"alarm": "armed"}


def get_climate(state: State, *, room: RoomName) -> dict[str, Any]:
    """What a room's heating is set to, and how warm it is there now."""
    return {
        "room": room,
        "target_celsius": state.rooms[room].target_celsius,
        "measured_celsius": state.rooms[room].measured_celsius,
    }


def set_heating(
    state: State,
    *,
    room: RoomName,
    celsius: Annotated[float, Field(ge=5, le=30, description="The temperature that the room should have.")],
) -> dict[str, Any]:
    """Set the heating of one room."""
    state.rooms[room].target_celsius = celsius
    return {"room": room, "target_celsius": celsius}


def list_scenes(state: State) -> dict[str, Any]:
    """The scenes that have been set up, with their ids."""
    return {"scenes": [{"scene_id": id_, "name": name} for id_, name in state.scenes.items()]}


def start_scene(
    state: State, *, scene_id: Annotated[str, Field(description="Id of the scene, from list_scenes.")]
) -> dict[str, Any]:
    """Start a scene; it takes the place of the one before."""
    if scene_id not in state.scenes:
        raise ToolFault("not_found", f"there is no scene '{scene_id}'", "scene_id")
    state.running_scene = scene_id
    return {"scene_id": scene_id, "status": "running"}


TOOLS = (list_doors, lock_door, arm_alarm, get_climate, set_heating, list_scenes, start_scene)
