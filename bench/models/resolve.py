"""A MODEL argument to GGUF files on this machine: a path, a registry name, or a repository of the Hugging Face Hub.

    resolve("model-Q4_K_M.gguf")
    resolve("qwen3-8b", ["Q4_K_M", "Q8_0"])
    resolve("bartowski/Some-Model-GGUF:Q4_K_M")        # also hf.co/..., also with a file's name in place of the quant

Files come through huggingface_hub and its cache, so they are shared with every program that uses it, and its settings
(HF_HOME, HF_TOKEN, HF_HUB_OFFLINE) hold. Knows nothing of what is inside a file; see `engine.gguf_file`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.models.registry import Model, Registry, load
from grammars.errors import ToolgaugeError

DEFAULT_QUANT = "Q4_K_M"  # as llama.cpp's own -hf
ALL_QUANTS = "*"

_HUB_PREFIX = re.compile(r"^(https?://)?(huggingface\.co|hf\.co)/", re.IGNORECASE)
_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(:(?P<wanted>[^:]+))?")
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
# A quantization level as people put it at the end of a file's name.
_QUANT = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|BF16|FP?16|FP?32|MXFP4(?:_MOE)?|NVFP4))$", re.IGNORECASE
)
_NOT_A_MODEL = re.compile(r"(^|[-._/])(mmproj|imatrix)([-._]|$)", re.IGNORECASE)  # vision projectors, calibration data


class ModelNotFound(ToolgaugeError):
    """A MODEL argument names nothing that could be loaded; the message says what exists."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One model file on this machine. `quant`: the level that was asked for or picked; None for a plain path."""

    name: str  # for people: the registry's name, the repository, or the file's stem
    path: Path  # the file, or the first part of a split
    quant: str | None = None
    row: Model | None = None
    repo: str | None = None
    revision: str | None = None  # the commit of the repository


@dataclass(frozen=True, slots=True)
class RepoFile:
    """One model in a repository: a GGUF file, or all parts of a split."""

    quant: str | None
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        return self.quant or self.names[0]


@dataclass(frozen=True, slots=True)
class Listing:
    revision: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hub:
    """The Hugging Face Hub through huggingface_hub; another endpoint or cache for tests."""

    endpoint: str | None = None
    cache: Path | None = None

    def list(self, repo: str) -> Listing:
        """The repository's files; when offline, those of its newest downloaded snapshot."""
        from huggingface_hub import HfApi, constants

        if constants.HF_HUB_OFFLINE:
            return self._downloaded(repo, "HF_HUB_OFFLINE forbids to; unset it")
        with said_plainly(repo):
            info = HfApi(endpoint=self.endpoint).model_info(repo)
        names = tuple(sibling.rfilename for sibling in info.siblings or ())
        return Listing(info.sha or "main", names)

    def fetch(self, repo: str, name: str, revision: str) -> Path:
        """The file, downloaded unless it is in the cache already."""
        from huggingface_hub import hf_hub_download

        with said_plainly(repo):
            path = hf_hub_download(repo, name, revision=revision, cache_dir=self.cache, endpoint=self.endpoint)
        return Path(str(path))

    def _downloaded(self, repo: str, why_not: str) -> Listing:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound

        try:
            repos = scan_cache_dir(self.cache).repos
        except CacheNotFound:
            repos = frozenset()
        revisions = [
            revision
            for cached in repos
            if cached.repo_type == "model" and cached.repo_id.lower() == repo.lower()
            for revision in cached.revisions
        ]
        if not revisions:
            raise ModelNotFound(f"nothing of {repo} has been downloaded, and {why_not}, or name a local file")
        newest = max(revisions, key=lambda revision: revision.last_modified)
        names = (file.file_path.relative_to(newest.snapshot_path).as_posix() for file in newest.files)
        return Listing(newest.commit_hash, tuple(sorted(names)))


@dataclass(frozen=True, slots=True)
class Downloaded(Hub):
    """Only what is in the cache already: for looking at models, which should fetch no gigabytes."""

    def list(self, repo: str) -> Listing:
        """The files of the newest downloaded snapshot."""
        return self._downloaded(repo, "looking at a model downloads nothing; run it once")

    def fetch(self, repo: str, name: str, revision: str) -> Path:
        """The file in the cache."""
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(repo, name, cache_dir=self.cache, revision=revision)
        assert isinstance(path, str), "only downloaded files are listed"
        return Path(path)


def at_hand(argument: str, *, cache: Path | None = None, levels: Sequence[str] = ()) -> Resolved:
    """One file on this machine that a MODEL argument names; any level, unless it names one, but rather of `levels`."""
    names_a_level = ":" in _HUB_PREFIX.sub("", argument)
    found = resolve(argument, () if names_a_level else (ALL_QUANTS,), hub=Downloaded(cache=cache))
    return next((each for each in found if each.quant in levels), found[0])


def resolve(
    argument: str,
    quants: Sequence[str] = (),
    *,
    registry: Registry | None = None,
    hub: Hub | None = None,
    from_hub: bool = False,
) -> tuple[Resolved, ...]:
    """The files that a MODEL argument names, one for each quant; `*` stands for all that a repository has.

    `from_hub`: it is a repository for certain, as after -hf. A local file is returned for every quant that is asked of
    it, because its other levels can be made (`engine.quantize`). Raises `ModelNotFound` or `RegistryError`.
    """
    hub = hub or Hub()
    if not from_hub and is_path(argument):
        path = path_of(argument)
        return tuple(Resolved(path.stem, path, quant) for quant in quants or (None,))
    name = _HUB_PREFIX.sub("", argument)
    if from_hub or "/" in name:
        repo, wanted = repository(argument, quants)
        if from_hub or name != argument:
            return _from_repo(repo, wanted, hub)
        with _perhaps_a_file(argument):
            listing = hub.list(repo)
        return _from_listing(repo, listing, wanted, hub)
    name, _, own_quant = name.partition(":")
    row = (registry or load()).get(name)
    wanted = _wanted(argument, own_quant, quants)
    if row.bundled_path is not None:
        if not row.bundled_path.is_file():
            raise ModelNotFound(f"the bundled model {row.bundled_path} is missing; install toolgauge again")
        return tuple(Resolved(row.name, row.bundled_path, quant, row) for quant in wanted or (row.default_quant,))
    assert row.repo is not None, "a row has a file or a repository"
    return _from_repo(row.repo, wanted or (row.default_quant,), hub, row)


def repository(argument: str, quants: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """The repository that `org/repo`, `org/repo:QUANT` or an address of the Hub names, and the wanted levels."""
    match = _HUB_NAME.fullmatch(_HUB_PREFIX.sub("", argument))
    if not match:
        raise ModelNotFound(f"'{argument}' is no repository of the Hub; write org/repo or org/repo:{DEFAULT_QUANT}")
    return match["repo"], _wanted(argument, match["wanted"], quants)


def models_of(names: Iterable[str]) -> tuple[RepoFile, ...]:
    """The models among a repository's files, splits as one, in the order of the listing."""
    parts: dict[str, list[str]] = {}
    for name in names:
        if name.lower().endswith(".gguf") and not _NOT_A_MODEL.search(name):
            stem = name[: -len(".gguf")]
            parts.setdefault(_PART.sub("", stem), []).append(name)
    return tuple(RepoFile(quant_of(stem), tuple(sorted(files))) for stem, files in parts.items())


def quant_of(stem: str) -> str | None:
    """The quantization level that a file's name says it has."""
    match = _QUANT.search(stem)
    return match[1].upper() if match else None


def path_of(argument: str | Path) -> Path:
    """A path as a person types it, with `~`; where nobody has the name behind it, it is a name that no file has."""
    path = Path(argument)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def is_path(argument: str) -> bool:
    """Whether a MODEL argument means a file here rather than a name or a repository.

    A folder does not hide the model of models.toml that has its name, for it can never be a model itself.
    """
    if _HUB_PREFIX.match(argument):
        return False
    if argument.startswith(("/", "./", "../", "~")):
        return True
    if Path(argument).exists():
        return not Path(argument).is_dir() or load().find(argument) is None
    return argument.endswith(".gguf") and ":" not in argument


def _wanted(argument: str, own: str | None, quants: Sequence[str]) -> tuple[str, ...]:
    if own and quants:
        raise ModelNotFound(f"'{argument}' names a quant and --quants does too; give it in one place")
    return (own,) if own else tuple(quants)


@contextmanager
def _perhaps_a_file(argument: str) -> Iterator[None]:
    """What has no prefix may have been meant as a path."""
    try:
        yield
    except ModelNotFound as error:
        raise ModelNotFound(f"there is no file '{argument}' here, and {error}") from error


def _from_repo(repo: str, wanted: Sequence[str], hub: Hub, row: Model | None = None) -> tuple[Resolved, ...]:
    return _from_listing(repo, hub.list(repo), wanted, hub, row)


def _from_listing(
    repo: str, listing: Listing, wanted: Sequence[str], hub: Hub, row: Model | None = None
) -> tuple[Resolved, ...]:
    resolved = []
    for model in chosen(repo, listing, wanted, row):
        paths = [hub.fetch(repo, name, listing.revision) for name in model.names]
        name = row.name if row else repo
        resolved.append(Resolved(name, paths[0], model.quant, row, repo, listing.revision))
    return tuple(resolved)


def chosen(repo: str, listing: Listing, wanted: Sequence[str], row: Model | None = None) -> tuple[RepoFile, ...]:
    """The models of a repository that are wanted, nothing fetched yet; raises `ModelNotFound` with what it has."""
    models = models_of(listing.names)
    if not models:
        raise ModelNotFound(f"{repo} has no GGUF files; look for a repository whose name ends in -GGUF")
    found: dict[RepoFile, None] = {}
    for quant in wanted or (None,):
        found |= dict.fromkeys(_choose(repo, models, quant, row))
    return tuple(found)


def _choose(repo: str, models: Sequence[RepoFile], wanted: str | None, row: Model | None) -> Sequence[RepoFile]:
    if wanted == ALL_QUANTS:
        return models
    if wanted is None:
        if len(models) == 1:
            return models
        wanted = DEFAULT_QUANT
    if wanted.lower().endswith(".gguf"):
        found = [model for model in models if wanted in model.names]
    else:
        found = [model for model in models if model.quant == wanted.upper()]
    if len(found) > 1 and row:  # the registry knows how the files of its model are named
        found = [model for model in found if model.names[0] == row.filename(wanted)] or found
    if len(found) == 1:
        return found
    if found:
        names = ", ".join(model.names[0] for model in found)
        raise ModelNotFound(f"{repo} has several files for {wanted}: {names}; name one as {repo}:FILE")
    labels = ", ".join(sorted({model.label for model in models}))
    raise ModelNotFound(f"{repo} has no {wanted}; it has {labels}")


@contextmanager
def said_plainly(repo: str) -> Iterator[None]:
    """The Hub's many errors as one sentence each."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelNotFound(f"{repo} asks you to accept its terms; do so on its page, then set HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"the Hub has no repository {repo}, or it is private; check the name, or set HF_TOKEN"
        ) from error
    except errors.HFValidationError as error:
        raise ModelNotFound(f"'{repo}' is no name of a repository; write org/repo") from error
    except Exception as error:
        if not isinstance(error, errors.HfHubHTTPError.__bases__):  # its HTTP library's errors, and those of the disk
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ModelNotFound(f"the disk is full while downloading {repo}; make room, or move HF_HOME") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelNotFound(
            f"{repo} cannot be had from the Hub ({reason}); try again, or set HF_HUB_OFFLINE=1 to use what you have"
        ) from error
