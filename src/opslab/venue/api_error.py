"""API errors of the venue: the table of Binance's error codes and messages.

Codes and messages are those of the USD-M futures documentation or, where the documentation has a name only, those that
Binance is known to return. `{}` stands for a value.
"""

from collections.abc import Mapping

MESSAGES: dict[int, str] = {
    # the server, and the request as a whole
    -1000: "An unknown error occurred while processing the request.",
    -1003: "Too many requests; current limit is {} requests per minute. Please use the websocket for live updates to "
    "avoid polling the API.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1015: "Too many new orders; current limit is {} orders per {}.",
    -1016: "This service is no longer available.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1023: "Start time is greater than end time.",
    # parameters
    -1100: "Illegal characters found in parameter '{}'; legal range is '{}'.",
    -1101: "Duplicate values for a parameter detected.",
    -1102: "Mandatory parameter '{}' was not sent, was empty/null, or malformed.",
    -1104: "Not all sent parameters were read; read '{}' parameter(s) but was sent '{}'.",
    -1105: "Parameter '{}' was empty.",
    -1106: "Parameter '{}' sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -1128: "Combination of optional parameters invalid.",
    -1130: "Data sent for parameter '{}' is not valid.",
    -1131: "recvWindow must be less than 60000",
    -1136: "Invalid newOrderRespType.",
    # orders and keys
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2022: "ReduceOnly Order is rejected.",
    -2025: "Reach max open order limit.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -2028: "Leverage is smaller than permitted: insufficient margin balance.",
    # filters and settings
    -4001: "Price less than 0.",
    -4002: "Price greater than max price.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id length should not be more than 36 chars",
    -4016: "Limit price can't be higher than {}.",
    -4021: "'{}' is not valid depth limit.",
    -4023: "Qty not increased by step size.",
    -4024: "Limit price can't be lower than {}.",
    -4028: "Leverage {} is not valid",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4051: "Isolated balance insufficient.",
    -4054: "Cannot add position margin: position is 0.",
    -4059: "No need to change position side.",
    -4060: "Invalid position side.",
    -4061: "Order's position side does not match user's setting.",
    -4062: "Invalid or improper reduceOnly value.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4082: "Invalid number of batch place orders.",
    -4084: "Method is not allowed currently. Upcoming soon.",
    -4087: "User can only place reduce only order",
    -4108: "Symbol is on delivering or delivered or settling or closed or pre-trading.",
    -4116: "ClientOrderId is duplicated.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4144: "Invalid pair",
    -4164: "Order's notional must be no smaller than {} (unless you choose reduce only).",
    -4171: "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
    # execution
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be "
    "recorded in the order history",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not "
    "be recorded in the order history",
    -5024: "Symbol is not in trading status. Order amendment is not permitted.",
    -5025: "Only limit order is supported.",
    -5026: "Exceed maximum modify order limit.",
    -5027: "No need to modify the order.",
    -5029: "Order's notional must be no smaller than {}",
    -5037: "Invalid price match",
    -5039: "Invalid self trade prevention mode",
}

HTTP_STATUS: dict[int, int] = {-1000: 500, -1003: 429, -1008: 503, -1015: 429, -1016: 503, -2014: 401, -2015: 401}
"""HTTP status of the codes whose status is not 400."""


class ApiError(Exception):
    """An error response of the venue to its client; not an error of the lab."""

    def __init__(
        self, code: int, msg: str, *, http_status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.http_status = HTTP_STATUS.get(code, 400) if http_status is None else http_status
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, code: int, *values: object) -> "ApiError":
        """Create the error with the message of the table, formatted with `values`."""
        return cls(code, MESSAGES[code].format(*values))

    @classmethod
    def missing(cls, name: str) -> "ApiError":
        """A required parameter is missing."""
        return cls.of(-1102, name)

    @classmethod
    def malformed(cls, name: str) -> "ApiError":
        """A parameter cannot be parsed; Binance sends the same message as for a missing one."""
        return cls.of(-1102, name)

    @classmethod
    def neither(cls, first: str, second: str) -> "ApiError":
        """Both of two parameters are missing; one is required."""
        return cls(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")

    @classmethod
    def illegal(cls, name: str, legal: str) -> "ApiError":
        """A parameter has illegal characters. legal: Binance's regular expression for it."""
        return cls.of(-1100, name, legal)

    @classmethod
    def not_required(cls, name: str) -> "ApiError":
        """A parameter is not allowed for this order; Binance writes its name in lower case."""
        return cls.of(-1106, name.lower())

    @classmethod
    def invalid(cls, name: str) -> "ApiError":
        """A well-formed parameter has an invalid value."""
        return cls.of(-1130, name)

    def body(self) -> dict[str, object]:
        """The JSON body of the response."""
        return {"code": self.code, "msg": self.msg}
