import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5.export.c.text import Constants, check_prefix, comment, harmless, number, string


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_number_is_a_float_constant_that_reads_back_as_the_same_float(value: float) -> None:
    text = number(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?f", text)
    assert re.search(r"[.e]", text)
    digits = text.removesuffix("f")
    assert np.float32(digits).tobytes() == np.float32(value).tobytes()
    assert np.float32(float(digits)).tobytes() == np.float32(value).tobytes()  # of a compiler that reads a double first


@given(st.text())
def test_string_is_plain_ascii_whose_escapes_give_the_bytes_of_utf8(text: str) -> None:
    constant = string(text)
    assert constant.isascii()
    assert constant.isprintable()
    assert "??" not in constant
    body = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), constant[1:-1])
    assert body.encode("latin-1") == text.encode("utf-8", "surrogatepass")
    assert not re.search(r'(?<!\\)"', re.sub(r"\\\d{3}", "", constant[1:-1]))


@given(st.text(alphabet=st.sampled_from([*"*/?\\ =\n\r\0", "é", "a", "\u2028"])))
def test_comment_ends_where_it_should(text: str) -> None:
    written = comment(text)
    assert written.isascii()
    assert written.count("*/") == written.count("/*") == 1
    assert "??" not in written
    assert "\\" not in written
    assert written.endswith("*/")


def test_harmless_text_stays_as_it_is() -> None:
    assert harmless("Two words, 3 x 4 / 5 * 6?") == "Two words, 3 x 4 / 5 * 6?"


@pytest.mark.parametrize("prefix", ["lenet5", "a", "Digits_2", "x" * 31, "int"])
def test_prefix_is_a_name_of_c(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["", "5lenet", "_net", "my net", "my-net", "a__b", "net_", "é", "x" * 32, "a\n"])
def test_other_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="the prefix is .* expected 1 to 31 letters"):
        check_prefix(prefix)


def test_array_has_braces_for_each_axis() -> None:
    values = np.arange(8, dtype=np.int8).reshape(2, 2, 2)
    assert str(Constants("name", "int8_t", values, "About it")) == (
        "/* About it */\nstatic const int8_t name[2][2][2] = {\n    {\n        { 0, 1 },\n        { 2, 3 }\n    },\n"
        "    {\n        { 4, 5 },\n        { 6, 7 }\n    }\n};"
    )
