"""R2: whatever a system exports, in whatever state a spreadsheet left it, nobody whom the file calls inactive ends as
active, and every line is taken or refused. `make chaos` does the same for much longer."""

import io

from hypothesis import HealthCheck, given, settings

from config.database import transaction
from tasks import imports, organisations
from tasks.imports import Imported, ImportOptions
from tests.learners.exports import Export, exports
from tests.world import World


def imported(world: World, export: Export) -> tuple[Imported, dict[str, str]]:
    """An export is imported into an organisation of its own, in which one learner is known; how all stand then."""
    world.organisation = f"any-{world.ask('SELECT count(*) FROM organisations')}"
    world.has_organisation()
    world.has_learners("101")
    with transaction(world.runtime.engine) as connection:
        org = organisations.find(connection, [world.organisation])[world.organisation]
    source = io.BytesIO(export.body)
    result = imports.import_file(
        world.runtime.engine,
        world.runtime.settings,
        org,
        source,
        imports.layout_of(source),
        ImportOptions(world.runtime.home / "refused.csv"),
    )
    standings = world.rows("SELECT id, standing FROM learners WHERE organisation = :number", number=org.organisation)
    return result, dict(standings)


def check(export: Export, result: Imported, standings: dict[str, str]) -> None:
    """What holds of any export."""
    assert {id_ for id_ in export.inactive if standings.get(id_) == "active"} == set()
    assert result.read == result.new + result.changed + result.unchanged + sum(result.refused.values())
    assert standings.keys() <= export.ids | {"101"}
    assert result.refused.keys() <= {"bad e-mail", "repeated id", "unreadable characters", "unknown status"}
    if not result.refused:
        assert {id_ for id_ in export.ids - export.inactive if standings[id_] != "active"} == set()


@given(exports())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_r02_nobody_whom_any_export_calls_inactive_ends_as_active(world: World, export: Export) -> None:
    result, standings = imported(world, export)

    check(export, result, standings)
