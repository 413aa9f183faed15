"""What may differ, and by how much, from a command line."""

from collections.abc import Sequence
from decimal import Decimal

from opslab.errors import Usage
from opslab.model.primitives.ids import nearest, shown
from opslab.reconciliation.result import Limits, Tolerances
from opslab.reconciliation.values import number, text

HINT = f"such as --tolerance free=0.5; known: {', '.join(Tolerances.model_fields)}; all else is compared exactly"


def limits_of(max_age_seconds: int, max_apart_seconds: int, tolerances: Sequence[str]) -> Limits:
    """tolerances: `FIELD=VALUE` each. Raises Usage."""
    given: dict[str, str] = {}
    for one in tolerances:
        field, sign, written = one.partition("=")
        value = number(written, "not_negative")
        if not sign or not isinstance(value, Decimal):
            raise Usage(f"--tolerance {shown(one)} is not a field and a number that is not negative", hint=HINT)
        if field not in Tolerances.model_fields:
            close = nearest(field, Tolerances.model_fields, 1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise Usage(f"--tolerance {shown(field)} is no field that may differ{guess}", hint=HINT)
        if field in given:
            raise Usage(f"--tolerance {field} is given twice", hint="keep one")
        given[field] = text(value)
    standard = Limits()
    asked = Tolerances.model_validate({**standard.tolerances.model_dump(mode="json"), **given})
    return Limits(max_age_seconds=max_age_seconds, max_apart_seconds=max_apart_seconds, tolerances=asked)
