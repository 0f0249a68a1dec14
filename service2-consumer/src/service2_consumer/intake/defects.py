"""The defects of e-mail files: one closed list of stable codes. Pure: no I/O."""

from enum import StrEnum


class Defect(StrEnum):
    """What was wrong with an e-mail file that is archived all the same; the values appear in `metadata.defects`."""

    BARE_CR = "bare_cr"  # the lines end in CR alone
    DUPLICATE_HEADERS = "duplicate_headers"  # From, Subject, Date or a MIME header more than once: the first counts
    HEADER_TRUNCATED = "header_truncated"  # a header block or value is longer than what is read
    INVALID_BASE64 = "invalid_base64"  # characters outside the alphabet, or a missing end
    INVALID_CONTENT_TYPE = "invalid_content_type"  # read as text/plain
    INVALID_DATE = "invalid_date"  # no date, or one before 2000 or after 2099
    INVALID_ENCODED_WORD = "invalid_encoded_word"
    INVALID_QUOTED_PRINTABLE = "invalid_quoted_printable"  # the wrong escapes are kept as they are
    INVALID_TEXT = "invalid_text"  # bytes that fit no charset became U+FFFD
    MISSING_BOUNDARY = "missing_boundary"  # a multipart whose parts cannot be found: read as text/plain
    MISSING_DATE = "missing_date"
    MISSING_END_BOUNDARY = "missing_end_boundary"  # often a file that was cut off
    MISSING_SENDER = "missing_sender"
    MISSING_SEPARATOR = "missing_separator"  # no empty line between header and body
    MISSING_SUBJECT = "missing_subject"
    MISSING_TEXT = "missing_text"
    NESTED_TOO_DEEP = "nested_too_deep"  # the multipart at the limit counts as one attachment
    TEXT_TRUNCATED = "text_truncated"  # the text is longer than MAX_TEXT_BYTES; the file has all of it
    TOO_MANY_HEADERS = "too_many_headers"  # the rest is ignored
    TOO_MANY_PARTS = "too_many_parts"  # the rest is ignored
    UNKNOWN_CHARSET = "unknown_charset"
    UNKNOWN_ENCODING = "unknown_encoding"  # a Content-Transfer-Encoding that is not known: kept undecoded
    UNREADABLE_BODY = "unreadable_body"  # only the header could be read
    WRONG_CHARSET = "wrong_charset"  # the text is in another charset than declared


Defects = set[Defect]
