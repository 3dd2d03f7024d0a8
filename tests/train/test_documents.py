"""`train data generate --documents`: what of real folders is used, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import docx
import pypdf
import pytest
from click.testing import CliRunner
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from test_data_generate import small_pdf

from assistant.errors import UsageError
from train.__main__ import main
from train.data.generating.documents import documents_work
from train.data.generating.reading import read_document, read_documents

LONG = "Goods can be sent back within seven days after they came, in the box they came in."
CONFIG = '[assistant]\nname = "Bei"\nauthor = "Beibei"\n'


def manual(file: Path) -> Path:
    """A manual with a table between two paragraphs, a merged cell, and a table in a cell."""
    document = docx.Document()
    document.add_heading("Prices", 1)
    document.add_paragraph("Before the table.")
    table = document.add_table(3, 3)
    for row, cells in enumerate(
        [("Who", "Day", "Price"), ("Adult", "any", "10 €"), ("", "Sunday", "8 €")]
    ):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    wide = document.add_table(1, 2)
    wide.cell(0, 0).merge(wide.cell(0, 1)).text = "All prices include tax."
    inner = document.add_table(1, 1).cell(0, 0).add_table(1, 2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "in", "side"
    document.add_paragraph("After the table.")
    document.save(str(file))
    return file


def test_tables_of_a_word_document_stand_in_their_place(tmp_path):
    assert read_document(manual(tmp_path / "a.docx")).split("\n\n") == [
        "# Prices",
        "Before the table.",
        "Who | Day | Price",
        "Adult | any | 10 €",
        "Adult | Sunday | 8 €",
        "All prices include tax.",
        "in | side",
        "After the table.",
    ]


def wrapped(paragraph, *tags: str) -> None:
    """Put a paragraph of a document into the elements `tags`, the first one outermost."""
    outer = element = OxmlElement(tags[0])
    for tag in tags[1:]:
        element.append(inner := OxmlElement(tag))
        element = inner
    paragraph.addprevious(outer)
    element.append(paragraph)


def test_a_formula_is_read_as_it_is_written(tmp_path):
    from docx.oxml import parse_xml

    document = docx.Document()
    paragraph = document.add_paragraph("The area is ")
    math = "http://schemas.openxmlformats.org/officeDocument/2006/math"
    formula = f'<m:oMath xmlns:m="{math}"><m:r><m:t>a\u00b7b</m:t></m:r></m:oMath>'
    paragraph._p.append(parse_xml(formula))
    paragraph.add_run(", always.")
    document.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx") == "The area is a\u00b7b, always."


def test_controls_boxes_insertions_are_read_and_deletions_are_not(tmp_path):
    document = docx.Document()
    control = document.add_paragraph("In a content control.")
    wrapped(control._p, "w:sdt", "w:sdtContent")
    changed = document.add_paragraph("Kept")
    run = changed.add_run(" inserted")
    wrapped(run._r, "w:ins")
    gone = changed.add_run(" deleted")
    text = gone._r.find(qn("w:t"))
    text.tag = qn("w:delText")
    boxed = document.add_paragraph("In a box.")
    wrapped(boxed._p, "w:p", "w:r", "w:pict", "w:txbxContent")
    document.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx").split("\n\n") == [
        "In a content control.", "Kept inserted", "In a box.",
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as people keep it: of every kind of file one."""
    found = tmp_path / "shelf"
    (found / "inner").mkdir(parents=True)
    (found / "assistant.toml").write_text(CONFIG, "utf-8")
    manual(found / "manual.docx")
    (found / "~$manual.docx").write_bytes(b"\x08Somebody" + bytes(150))
    (found / ".hidden.txt").write_text(LONG)
    (found / "help.md").write_text(f"# Returns\n{LONG}\n\n# Short\nNo.", "utf-8")
    (found / "inner" / "help.md").write_text(LONG, "utf-8")
    (found / "text.pdf").write_bytes(small_pdf(LONG))
    blank = pypdf.PdfWriter()
    blank.add_blank_page(200, 200)
    blank.write(found / "scan.pdf")
    (found / "empty.txt").write_bytes(b"\n\n")
    (found / "cut.pdf").write_bytes(b"%PDF-1.4 and no more")
    (found / "old.docx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    (found / "page.docx").write_text("<html>no document</html>")
    (found / "binary.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (found / "gone.txt").symlink_to(found / "nowhere")
    for name in ("a.html", "b.doc", "c.html", "Makefile"):
        (found / name).write_text(LONG)
    return found


def test_every_file_of_a_folder_is_accounted_for(folder):
    documents, account = read_documents([folder])
    assert [document.name for document in documents] == [
        "help.md", "manual.docx", "text.pdf", "inner/help.md",
    ]  # fmt: skip
    told = account.as_json()
    assert {Path(path).name for path in told.pop("unreadable")} == {
        "cut.pdf", "old.docx", "page.docx", "binary.txt", "gone.txt",
    }  # fmt: skip
    assert told == {
        "used": [str(document.path) for document in documents],
        "without_text": [str(folder / "empty.txt"), str(folder / "scan.pdf")],
        "other_kinds": {"": 1, "doc": 1, "html": 2, "toml": 1},
        "pages_without_text": {},
        "short_passages": 0,
    }


def test_what_is_left_out_is_said_and_the_rest_goes_on(folder):
    work = documents_work([folder], 2, 1)
    assert [job.name for job in work.jobs] == [
        "help.md#1", "manual.docx#1", "text.pdf#1", "inner/help.md#1",
    ]  # fmt: skip
    said = [note.en for note in work.notes]
    assert (
        "Not used: 2 files without text (empty.txt, scan.pdf), 5 of other kinds (html, no ending, toml, doc)."
        in said
    )
    assert "Not used: 1 pieces too short to ask about." in said
    assert sum(note.startswith("Left out, it cannot be read: ") for note in said) == 5
    assert any("old.docx: it is a document of Word before 2007" in note for note in said)
    assert "Adult | Sunday | 8 €" in work.jobs[1].messages[1].content


def test_a_file_that_is_named_twice_is_read_once(folder):
    documents, _ = read_documents([folder / "help.md", folder, folder / "help.md"])
    names = [document.name for document in documents]
    assert sorted(names) == sorted(set(names))
    assert names[0] == "help.md" and len(names) == 4


def test_pages_without_text_are_counted(tmp_path):
    both = pypdf.PdfWriter()
    (tmp_path / "one.pdf").write_bytes(small_pdf(LONG))
    both.append(str(tmp_path / "one.pdf"))
    both.add_blank_page(200, 200)
    both.write(tmp_path / "both.pdf")
    _, account = read_documents([tmp_path / "both.pdf"])
    assert account.pages_without_text == {tmp_path / "both.pdf": 1}


def test_documents_are_known_by_what_is_in_them(tmp_path):
    manual(tmp_path / "a.docx").rename(tmp_path / "word.txt")
    (tmp_path / "pdf.md").write_bytes(small_pdf(LONG))
    assert "Adult | any | 10 €" in read_document(tmp_path / "word.txt")
    assert "seven days" in read_document(tmp_path / "pdf.md")


def test_where_nothing_can_be_read_every_reason_is_given(tmp_path):
    (tmp_path / "cut.pdf").write_bytes(b"%PDF-1.4 and no more")
    (tmp_path / "page.html").write_text("<p>")
    with pytest.raises(UsageError) as caught:
        documents_work([tmp_path], 1, 1)
    lines = caught.value.message.en.splitlines()
    assert lines[0] == "The documents hold no passage to ask about."
    assert lines[1].startswith(
        f"Left out, it cannot be read: {tmp_path / 'cut.pdf'}: it is damaged"
    )
    assert lines[2] == "Not used: 1 of other kinds (html)."
    assert caught.value.cure and ".docx" in caught.value.cure.en


def test_the_report_and_the_json_say_it_too(folder):
    def run(*more: str) -> dict:
        arguments = ["data", "generate", "--documents", str(folder), "--engine", "echo", "--json",
                     "--config", str(folder / "assistant.toml"), "--out", str(folder / "q.jsonl")]  # fmt: skip
        done = CliRunner().invoke(main, [*arguments, *more])
        return json.loads(done.stdout.splitlines()[0])

    planned = run("--dry-run")["documents"]
    assert [len(planned[key]) for key in ("used", "without_text", "unreadable")] == [4, 2, 5]
    run("--count", "1", "--set", "train.generate.tries=1")  # the echo gives no pairs: only a report
    assert json.loads((folder / "q.report.json").read_text("utf-8"))["documents"] == planned
