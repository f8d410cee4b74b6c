"""The settings: FLASK_... in the environment, overridden by the mapping of create_app."""

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

NAMES = ("DATABASE", "CORS_ORIGINS", "REQUEST_LOG")
_ON = ("1", "true", "yes", "on")
_OFF = ("0", "false", "no", "off", "none", "")  # None or an empty variable: it is not set


class SettingError(Exception):
    """Raised when a setting cannot be used. Its text is one line: what is wrong and what to do."""


def load(app: Flask, config: Mapping[str, Any] | None) -> None:
    """Put the settings into `app.config`. Raise `SettingError` for a name that is no setting."""
    app.config.from_prefixed_env()
    for name in NAMES:
        app.config[name] = os.environ.get(f"FLASK_{name}")  # as text: "0.10" is a path
    for name in config or {}:
        if name not in app.config:
            raise SettingError(f"create_app: {name!r} is no setting: there are {', '.join(NAMES)}")
    app.config.from_mapping(config)
    if app.config["DATABASE"] == "":
        raise SettingError("FLASK_DATABASE is empty: set it to a path, or unset it for the demo")


def is_on(app: Flask, name: str) -> bool:
    """Return a setting that is on or off, as people write it. Raise `SettingError` for others."""
    text = str(app.config[name]).lower()
    if text not in _ON + _OFF:
        raise SettingError(f"FLASK_{name} is {app.config[name]!r}: set it to 1 or 0")
    return text in _ON
