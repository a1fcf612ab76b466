"""A file over HTTP: a form of parts, imported by a worker, with a document that says how far it is."""

from tests.api.conftest import ApiAnswer, Client, Served

FILE = b"id,username,email,status\nN1,n1,n1@acme.example,active\n,n2,n2@acme.example,active\n"

FORM = "multipart/form-data; boundary=parts"


def form(file: bytes | None = FILE, **fields: str) -> bytes:
    """A form of fields and, at its end, a file."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    if file is not None:
        parts.append(b'Content-Disposition: form-data; name="file"; filename="people.csv"\r\n\r\n' + file)
    return b"".join(b"--parts\r\n" + part + b"\r\n" for part in parts) + b"--parts--\r\n"


def send(client: Client, body: bytes, kind: str = FORM, **headers: str) -> ApiAnswer:
    return client.ask("POST", "imports", raw=body, Content_Type=kind, **headers)


def test_a_file_is_taken_and_its_document_says_what_became_of_it(api: Served) -> None:
    admin = api.client()
    begun = send(admin, form(map="learner=id", dry_run="false"))
    path = begun.headers["location"].partition("/organisations/acme/")[2]
    before = admin.get(path).json
    api.world.settle()
    after = admin.get(path).json
    refused = admin.get(f"{path}/refused")

    assert (begun.status, begun.json["state"], before["state"], before["result"]) == (202, "running", "running", None)
    assert (after["state"], after["done"], after["total"]) == ("done", 1, 1)
    assert (after["result"]["new"], after["result"]["refused"]) == (1, {"no id": 1})
    assert (refused.status, b"no id" in refused.body) == (200, True)
    assert refused.headers["content-type"].startswith("text/csv")


def test_a_form_that_cannot_be_taken_is_refused_and_the_field_is_named(api: Served) -> None:
    admin = api.client()
    more = b'--parts\r\nContent-Disposition: form-data; name="status"\r\n\r\nkeep\r\n--parts--'
    twice = form(status="active").replace(b"--parts--", more)
    answers = {
        "json": send(admin, b"{}", "application/json"),
        "no file": send(admin, form(None)),
        "no such field": send(admin, form(nothing="1")),
        "wrong": send(admin, form(dry_run="perhaps")),
        "map": send(admin, form(map="nonsense")),
        "twice": send(admin, twice),
        "no form": send(admin, b"nonsense"),
    }

    assert {name: answer.status for name, answer in answers.items()} == {
        "json": 415,
        "no file": 422,
        "no such field": 422,
        "wrong": 422,
        "map": 422,
        "twice": 422,
        "no form": 400,
    }
    named = {name: answer.pointers for name, answer in answers.items() if answer.status == 422}
    assert named == {
        "no file": ["/file"],
        "no such field": ["/nothing"],
        "wrong": ["/dry_run"],
        "map": ["/map"],
        "twice": ["/status"],
    }
    assert api.world.ask("SELECT count(*) FROM uploads") == 0


def test_the_same_key_with_the_same_file_begins_one_import_and_with_another_none(api: Served) -> None:
    admin = api.client()
    first, again = (send(admin, form(), Idempotency_Key="k1") for _ in range(2))
    other = send(admin, form(FILE + b"N3,n3,n3@acme.example,active\n"), Idempotency_Key="k1")

    assert (first.status, again.status, other.status) == (202, 202, 422)
    assert first.headers["location"] == again.headers["location"]
    assert api.world.ask("SELECT count(*) FROM uploads") == 1
