"""Alert rules as two files have them: who is told stands in the one, what is set otherwise in the other."""

from __future__ import annotations

import dataclasses

from acceptfirst_analysis.alerts.settings import AlertSettings, AlertSettingsError
from acceptfirst_cli.configuration import ConfigurationFile, alert_rules


def with_rules_of(settings: AlertSettings, file: ConfigurationFile) -> AlertSettings:
    """The settings, with the rules as a configuration has them.

    Raises:
        AlertSettingsError: something in its ``[alerts]`` can't be used.
    """
    try:
        return dataclasses.replace(settings, base=alert_rules(file))
    except ValueError as error:
        raise AlertSettingsError(f"{file.path}: {error}") from error
