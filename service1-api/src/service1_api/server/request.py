"""One request being received: waitress's parser with stricter checks and limits."""

from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError  # type: ignore[import-untyped]

from service1_api.problems import Problem, body_too_large
from service1_api.server.budget import Budget
from service1_api.server.head import check_fields, checked, connection_option

_CHUNK_PIECE_BYTES = 8 * 1024  # waitress copies the rest of a piece at each chunk: time is quadratic in the piece
_MAX_CHUNK_OVERHEAD_BYTES = 64 * 1024  # besides an eighth of the data: tiny chunks cost much time


class Request(HTTPRequestParser):  # type: ignore[misc]  # waitress's classes are untyped
    """A request that consumes its own bytes only; later bytes stay in `read_ahead`.

    `problem` is set when the request is rejected. Its bytes count in the budget from the second receive on: most
    requests arrive completely with the first.
    """

    version = "1.1"  # of an answer to a head that could not be read

    def __init__(self, adjustments: Any, max_body_bytes: int, budget: Budget) -> None:
        super().__init__(adjustments)
        self._max_body_bytes = max_body_bytes
        self._budget = budget
        self.held_bytes = 0
        self.read_ahead = b""
        self.problem: Problem | None = None

    def received(self, data: bytes) -> int:
        """Parse bytes; return how many are consumed, `read_ahead` included."""
        used = 0
        while used < len(data) and not self.completed:
            piece = data[used : used + _CHUNK_PIECE_BYTES] if self.chunked else data[used:]
            try:
                used += super().received(piece)
            except OSError:  # the temporary file of a large body could not grow
                self.refuse(Problem("overloaded", "the body could not be buffered"))
            if self.body_rcv is not None and not self.completed:
                self._check_body_size()
        if self.empty:
            return used
        if self.completed:
            self.expect_continue = False  # waitress would reopen a request that has ended
            self.read_ahead = data[used:]
        return len(data)

    def parse_header(self, head: bytes) -> None:
        """Parse a whole head. Raise ParsingError, which waitress turns into a response; `problem` has the details."""
        try:
            super().parse_header(checked(head))
            check_fields(self.version, self.headers)
            if self.content_length > self._max_body_bytes:
                raise body_too_large(self._max_body_bytes)
        except Problem as exc:
            self.problem = exc
            raise ParsingError(exc.code) from exc
        except ValueError as exc:  # a target that urllib cannot split, or a number with too many digits
            raise ParsingError("malformed_request") from exc
        option = connection_option(self.headers.get("CONNECTION", ""), self.version)
        self.connection_close = option == "close" or (self.version == "1.0" and option != "keep-alive")
        if "CONNECTION" in self.headers:
            self.headers["CONNECTION"] = option

    def hold(self, count: int) -> None:
        """Count received bytes in the budget until `close`."""
        self.held_bytes += count
        self._budget.take(count)

    def refuse(self, problem: Problem) -> None:
        """End the request with a problem as its response."""
        self.problem = self.error = problem
        self.completed = True
        self.expect_continue = False

    def close(self) -> None:
        """Release the body and its part of the budget. waitress calls this after the response."""
        held, self.held_bytes = self.held_bytes, 0
        if held:
            self._budget.give_back(held)
        super().close()

    def _check_body_size(self) -> None:
        size = len(self.body_rcv)
        if size + getattr(self.body_rcv, "chunk_remainder", 0) > self._max_body_bytes:
            self.refuse(body_too_large(self._max_body_bytes))
        elif self.body_bytes_received - size > _MAX_CHUNK_OVERHEAD_BYTES + size // 8:
            self.refuse(Problem("too_large", "the body has too many small chunks"))
