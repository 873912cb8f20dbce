"""The pages of docs/targets/: they are those that the tables give, and they tell what a table has."""

from tflbuild.targets import target_pages
from tflbuild.targets.common.rules import OperatorSupport, SupportRule, SupportTable
from tflbuild.targets.npu.profile import VENDORS
from tflbuild.targets.support_tables import TABLES

TABLE = SupportTable(
    name="unit",
    title="the unit",
    source="its manual",
    checked="the unit itself, 3 cases",
    rows={
        "RELU": OperatorSupport(),
        "ADD": OperatorSupport(
            (
                SupportRule("rank is 4", bool, "reshape"),
                SupportRule("a|b", bool, until="2"),
                SupportRule("c", bool, "d", since="3"),
            ),
            "1.1",
        ),
    },
    everywhere=(SupportRule("sizes are fixed", bool, "signature=static", fatal=True),),
    fixes={"GELU": "relu"},
    notes=("it is old",),
)


def test_a_page_tells_all_of_a_table(monkeypatch):
    monkeypatch.setitem(target_pages.DISAGREEMENTS, "unit", {"ADD_rank5": "it takes that too"})
    text = target_pages.table_page(TABLE)
    assert "| ADD | 1. rank is 4<br>2. a\\|b (before 2)<br>3. c (from 3) | 1. reshape<br>3. d | 1.1 |" in text
    assert "| RELU | always |  |  |" in text
    assert "- Rules from: its manual.\n- Compared with: the unit itself, 3 cases.\n" in text
    assert "- sizes are fixed (or the whole model fails); else: signature=static\n" in text
    assert "- It is old.\n" in text
    assert "| GELU | relu |" in text
    assert "| ADD_rank5 | it takes that too |" in text
    assert "An operator that is not listed is not supported." in text


def test_the_index_has_every_target(monkeypatch):
    monkeypatch.setitem(target_pages.DISAGREEMENTS, "unit", {"ADD_rank5": "it takes that too"})
    text = target_pages.index_page([TABLE, *TABLES.values()], VENDORS.values())
    assert "| [the unit](unit.md) | 2 | its manual | the unit itself, 3 cases | 1 |" in text
    assert all(f"]({name}.md)" in text for name in TABLES)
    assert all(f"| {vendor.title} |" in text for vendor in VENDORS.values())


def test_what_was_not_checked_says_so():
    assert "- Compared with: nothing." in target_pages.table_page(TABLES["coreml"])
