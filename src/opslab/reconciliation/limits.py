"""Read tolerances and time limits from command options."""

from collections.abc import Sequence
from decimal import Decimal

from opslab.errors import Usage
from opslab.model.primitives.ids import nearest, shown
from opslab.reconciliation.result import Limits, Tolerances
from opslab.reconciliation.values import number, text

HINT = f"example: --tolerance free=0.5; fields: {', '.join(Tolerances.model_fields)}; others are compared exactly"


def limits_of(max_age_seconds: int, max_apart_seconds: int, tolerances: Sequence[str]) -> Limits:
    """tolerances: `FIELD=VALUE` each. Raises Usage."""
    given: dict[str, str] = {}
    for option in tolerances:
        field, equals, value_text = option.partition("=")
        value = number(value_text, "not_negative")
        if not equals or not isinstance(value, Decimal):
            raise Usage(f"--tolerance {shown(option)} is not FIELD=VALUE with a number of 0 or more", hint=HINT)
        if field not in Tolerances.model_fields:
            close = nearest(field, Tolerances.model_fields, 1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise Usage(f"--tolerance {shown(field)} is not a field with a tolerance{guess}", hint=HINT)
        if field in given:
            raise Usage(f"--tolerance {field} is given twice", hint="keep one")
        given[field] = text(value)
    defaults = Limits().tolerances.model_dump(mode="json")
    merged = Tolerances.model_validate({**defaults, **given})
    return Limits(max_age_seconds=max_age_seconds, max_apart_seconds=max_apart_seconds, tolerances=merged)
