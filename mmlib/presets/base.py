"""What every chapter's settings share, and how a notebook's parameters become settings.

A chapter's module in this package defines one subclass of :class:`Settings`, whose fields are the
chapter's parameters with their types, ranges and meanings, and ``PRESETS``, which gives every field
a value for each of the four presets. A notebook or papermill may then change single fields.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from mmlib._checks import check_choice, check_distinct

NAMES = ("smoke", "quick", "desk", "paper")

CHAPTERS = {  # chapter -> its notebook, in reading order
    "contrastive": "01_contrastive",
    "information": "02_information",
    "comm": "03_comm",
    "label_dp": "04_label_dp",
    "image_table": "05_image_table",
    "unlearnable": "06_unlearnable",
    "comm_audit": "07_comm_audit",
    "comm_ablation": "08_comm_ablation",
    "comm_real": "09_comm_real",
    "label_dp_audit": "10_label_dp_audit",
    "unlearnable_audit": "11_unlearnable_audit",
    "unlearnable_sweeps": "12_unlearnable_sweeps",
    "private_information": "13_private_information",
    "unlearnable_comm": "14_unlearnable_comm",
    "fused_leaks": "15_fused_leaks",
}

# What IPython puts beside the parameters in a notebook's namespace, as far as it is plain data.
_IPYTHON = {"In", "Out", "exit", "quit"}
_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))


class Settings(BaseModel):
    """Checked, frozen settings of one run of one chapter."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    preset: Literal["smoke", "quick", "desk", "paper"] = Field(description="size of the run")
    seed: int = Field(  # scikit-learn takes 32 bits
        default=0, ge=0, lt=2**32, description="seeds model, data order and augmentations"
    )
    experiment: str = Field(
        default="overview", pattern=r"^[a-z0-9-]+$", description="name the record is kept under"
    )
    folder: str | None = Field(default=None, description="where the record goes")

    @field_validator("*")
    @classmethod
    def _once_each(cls, given: Any, info: ValidationInfo) -> Any:
        if isinstance(given, tuple):
            check_distinct(info.field_name, given)
        return given

    @classmethod
    def part_of(cls, presets: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Another chapter's presets, of each the values of this class's fields."""
        return {
            preset: {name: value for name, value in values.items() if name in cls.model_fields}
            for preset, values in presets.items()
        }


def chapter_settings(chapter: str) -> tuple[type[Settings], dict[str, dict[str, Any]]]:
    """The settings class of a chapter and its presets. Raises ``ValueError`` if there is none."""
    module = importlib.import_module(f"mmlib.presets.{check_choice('chapter', chapter, CHAPTERS)}")
    (settings,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Settings)
        and value.__module__ == module.__name__
    )
    return settings, module.PRESETS


def protocols(chapter: str) -> dict[str, dict[str, Any]]:
    """The chapter's protocols: values that its parameter ``protocol`` sets together, by name."""
    return getattr(importlib.import_module(f"mmlib.presets.{chapter}"), "PROTOCOLS", {})


def resolve(chapter: str, given: Mapping[str, Any]) -> Settings:
    """Settings of ``chapter``: the preset's values, changed by those ``given`` that are not None.

    Where a chapter has protocols, the one given as ``protocol`` changes the preset's values, and
    what is given by name changes the protocol's: the settings' ``protocol`` is then None.

    ``given`` may be a notebook's ``globals()``: of these only plain data (numbers, strings,
    sequences, mappings) count as parameters. A name that the chapter does not have, a wrong type
    or a value out of range raises ``ValueError``, which names the valid ones.
    """
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if not name.startswith("_") and name not in _IPYTHON and isinstance(value, _PLAIN)
    }
    settings, presets = chapter_settings(chapter)
    fields = settings.model_fields
    unknown = [name for name in given if name not in fields]
    if unknown:
        close = difflib.get_close_matches(unknown[0], fields, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown parameter {unknown[0]!r}.{hint} Chapter {chapter!r} has:\n{_list(fields)}"
        )
    changes = {name: value for name, value in given.items() if value is not None}
    preset = check_choice("preset", changes.get("preset", "quick"), NAMES)
    protocol = protocols(chapter).get(changes.get("protocol"), {})
    values = {**presets[preset], **protocol, **changes, "preset": preset}
    kept = protocols(chapter).get(values.get("protocol"), {})
    if any(values[name] != value for name, value in kept.items()):
        values["protocol"] = None  # a mixture is not to be recorded as the protocol
    try:
        return settings(**values)
    except ValidationError as error:
        errors = error.errors()
        named = {name: fields[name] for e in errors for name in e["loc"][:1]}
        # Pydantic counts a list's valid entries, and says that it is too short for the others.
        inside = {e["loc"][0] for e in errors if e["loc"][1:]}
        wrong = [e for e in errors if e["loc"][1:] or e["loc"][0] not in inside]
        raise ValueError(
            f"wrong parameters:\n{''.join(map(_wrong, wrong))}"
            f"Chapter {chapter!r} has:\n{_list(named)}"
        ) from None


def _wrong(error: Mapping[str, Any]) -> str:
    place, message = ".".join(map(str, error["loc"])), error["msg"]
    if error["type"] == "tuple_type":  # what papermill's -p cannot give
        message = f"It has to be a list; papermill takes one by -y '{place}: [...]'"
    elif error["type"] == "string_type":  # papermill's -p makes a number of 2024
        message += f"; papermill takes one by -r {place} ..."
    elif error["type"] == "float_type" and isinstance(error["input"], str):
        message += "; YAML reads 1e-3 as a text, and 1.0e-3 as a number"
    return f"  {place} is {error['input']!r}: {message}\n"


def _list(fields: Mapping[str, Any]) -> str:
    lines = []
    for name, field in fields.items():
        limits = ", ".join(map(str, field.metadata))
        kind = str(field.annotation).removeprefix("<class '").removesuffix("'>")
        kind = kind.replace("typing.", "").replace("tuple[", "list[").replace(", ...]", "]")
        kind = re.sub(r"Annotated\[(\w+), .*metadata=(\[.*?\])\)\]", r"\1 \2", kind)  # an entry's
        note = f" [{limits}]" if limits else ""
        lines.append(f"  {name}: {kind}{note}  {field.description or ''}".rstrip())
    return "\n".join(lines)
