"""The Hugging Face Hub: weights folders are downloaded from its repositories, and uploaded to them."""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from ..storage import StrPath, as_path, shown

EXTRA = 'the extra "hub" (from a checkout: pip install ".[hub]")'


class Download(TypedDict, total=False):
    """Options of a download from the Hugging Face Hub.

    Other sources need no download and ignore them, but for `subfolder`, which applies to local folders too.

    Examples
    --------
    >>> options: lenet5.models.Download = {"revision": "v1.0", "local_files_only": True}
    >>> lenet5.load("mnist_v2", **options)  # bundled weights need no download
    <Pretrained: LeNet5, 61,706 parameters>
    """

    revision: str | None
    """Branch, tag or commit of the repository; None for the branch "main"."""

    token: str | bool | None
    """Access token; None or True for the one that `hf auth login` saved, False for none."""

    cache_dir: StrPath | None
    """Folder of the downloaded files; None for huggingface_hub's cache."""

    force_download: bool
    """Download the files again even if the cache has them, for instance if one is damaged."""

    local_files_only: bool
    """Use the cache alone, without any request."""

    subfolder: str | None
    """Folder of the weights inside the repository."""


class Upload(TypedDict, total=False):
    """Options of an upload to the Hugging Face Hub.

    Examples
    --------
    >>> options: lenet5.models.Upload = {"private": True, "commit_message": "Trained on my digits"}
    >>> lenet5.LeNet5().save_pretrained("my_digits", push_to_hub=False, **options)
    """

    private: bool | None
    """True to create a private repository, and to refuse an existing public one; None for the owner's default."""

    token: str | bool | None
    """Access token with write access; None or True for the one that `hf auth login` saved."""

    revision: str | None
    """Branch to commit to, created if missing; None for "main"."""

    commit_message: str | None
    """First line of the commit message."""

    commit_description: str | None
    """The rest of the commit message."""

    create_pr: bool | None
    """Open a pull request instead of committing to the branch."""


def check_options(given: Mapping[str, Any], expected: type[Download | Upload], function: str) -> None:
    """Raise TypeError for a keyword argument that a function does not have, as Python does."""
    known = expected.__annotations__
    for name in given.keys() - known.keys():
        raise TypeError(
            f"{function}() got an unexpected keyword argument {name!r}; its options for the Hugging Face Hub are:"
            f" {', '.join(known)}"
        )


def is_repository(source: object) -> bool:
    """Return True for the name of a repository, "owner/name", unless there is a folder "owner"."""
    return isinstance(source, str) and source.count("/") == 1 and not as_path(source).parent.is_dir()


def download(repository: str, names: tuple[str, ...], options: Download) -> Path:
    """Download files to the cache; return the folder that holds them.

    Raises
    ------
    FileNotFoundError
        huggingface_hub is not installed, or the repository, its revision or a file does not exist.
    OSError
        The server refuses the request.
    ValueError
        The name of the repository is invalid.
    """
    try:
        library = _library()
    except ImportError as error:
        message = f"there is no folder {repository!r}; to load it from the Hugging Face Hub, install {EXTRA}"
        raise FileNotFoundError(message) from error
    chosen: dict[str, Any] = dict(options)
    subfolder = str(chosen.pop("subfolder", None) or "").strip("/")
    if chosen.get("cache_dir") is not None:
        chosen["cache_dir"] = as_path(chosen["cache_dir"])
    patterns = [f"{subfolder}/{name}" if subfolder else name for name in names]
    with _one_sentence(repository, chosen.get("revision")):
        root = Path(library.snapshot_download(repository, allow_patterns=patterns, **chosen))
    missing = [pattern for pattern in patterns if not (root / pattern).is_file()]
    if missing:
        raise FileNotFoundError(f"{repository} on the Hugging Face Hub has no {', '.join(missing)}")
    return root / subfolder


def upload(
    repository: str, files: Mapping[str, bytes], write_card: Callable[[str, str | None], str | None], options: Upload
) -> str:
    """Commit files to a repository, created if missing; return the address of the commit, or of the pull request.

    Parameters
    ----------
    repository
        "owner/name", or "name" for the account of the token.
    files
        Their content, by name.
    write_card
        Returns the model card for a name "owner/name" and the present card; None to keep the present one.
    options
        See `Upload`.

    Raises
    ------
    ImportError
        huggingface_hub is not installed.
    OSError
        The server refuses a request.
    ValueError
        The name of the repository is invalid, or it shall be private, but exists and is public.
    """
    if not isinstance(repository, str):
        raise ValueError(f"repo_id is {repository!r}; expected the name of a repository, such as 'owner/name'")
    try:
        library = _library()
    except ImportError as error:
        raise ImportError(f"push_to_hub needs {EXTRA}") from error
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    private, api = chosen.pop("private", None), library.HfApi(token=chosen.pop("token", None))
    revision: str | None = chosen.get("revision")
    with _one_sentence(repository, revision):
        visibility = {} if private is None else {"private": private}
        repository = api.create_repo(repository, exist_ok=True, **visibility).repo_id
        if private and not api.model_info(repository).private:
            raise ValueError(f"{repository} exists and is public; expected a private or a new repository")
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repository, branch=revision, exist_ok=True)
        card = write_card(repository, _present_card(api, repository, revision))
        content = {**files, **({} if card is None else {"README.md": card.encode()})}
        operations = [library.CommitOperationAdd(name, data) for name, data in content.items()]
        commit = api.create_commit(repository, operations, **{"commit_message": "Upload weights", **chosen})
    return str(commit.pr_url or commit.commit_url)


def _library() -> Any:
    """Import huggingface_hub, whose types differ by version."""
    return importlib.import_module("huggingface_hub")


def _present_card(api: Any, repository: str, revision: str | None) -> str | None:
    """Download the model card of a repository; return None if it has none."""
    try:
        path = api.hf_hub_download(repository, "README.md", revision=revision)
    except _errors().EntryNotFoundError:
        return None
    return Path(path).read_text(encoding="utf-8")


@contextlib.contextmanager
def _one_sentence(repository: str, revision: str | None) -> Iterator[None]:
    """Convert the errors of huggingface_hub, whose classes and messages differ by version."""
    errors = _errors()
    name = f"{shown(repository)} on the Hugging Face Hub"
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{name} has no revision {revision!r}; expected a branch, a tag or a commit") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{name} does not exist, or is private; expected a public repository, or a token that can read it"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise FileNotFoundError(
            f"{name} is not in the cache, and cannot be downloaded: {_first_line(error)}"
        ) from error
    except errors.HfHubHTTPError as error:
        raise OSError(f"{name} refuses the request: {_first_line(error)}") from error
    except (TypeError, ValueError):
        raise
    except Exception as error:  # those of its HTTP library have no common class
        raise OSError(f"{name} cannot be reached: {_first_line(error)}") from error


def _errors() -> Any:
    return importlib.import_module("huggingface_hub.utils")


def _first_line(error: Exception) -> str:
    return shown(str(error).strip().partition("\n")[0])
