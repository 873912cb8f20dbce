import io

from tflbuild.core.step import Step
from tflbuild.core.step_result import Failure, StepResult
from tflbuild.execute.events import Notice, StepAdvanced, StepEnded, StepFetching, StepStarted
from tflbuild.report.console import LiveConsole, QuietConsole, show_notices


def step(title):
    return Step(kind="check", params={"title": title}, inputs=(), toolchain={}, title=title)


def ended(title, status, elapsed=1.0):
    one = step(title)
    failure = Failure(kind="build", what="no") if status == "failed" else None
    return StepEnded(one, StepResult(step_id=one.id, status=status, elapsed=elapsed, failure=failure))


def test_a_quiet_line_when_a_step_has_ended_and_none_before():
    stream = io.StringIO()
    with QuietConsole(stream) as console:
        console.show(StepStarted(step("import")))
        console.show(ended("import", "ran", 2.5))
        console.show(ended("convert", "hit"))
    assert stream.getvalue().splitlines() == [f"{'import':<30} ran        2.50 s", f"{'convert':<30} hit"]


def shown(console):
    return [row.step.title for row in console.visible()]


def test_a_sweep_longer_than_the_screen_shows_what_is_at_work_and_all_at_the_end():
    console = LiveConsole(io.StringIO(), clock=lambda: 0.0)
    console.screen.height = 8
    console.show(StepStarted(step("slow")))
    for number in range(20):
        console.show(ended(f"check {number}", "ran"))
    assert shown(console) == [*(f"check {number}" for number in range(15, 20)), "slow"]
    console.ended = True
    assert len(shown(console)) == 21


def test_the_live_table_names_step_state_and_time():
    stream = io.StringIO()
    console = LiveConsole(stream, clock=lambda: 3.0)
    console.show(ended("import", "ran", 2.0))
    console.show(StepStarted(step("convert")))
    console.screen.print(console.render())
    lines = stream.getvalue().splitlines()
    assert lines[0].split() == ["import", "ran", "2.00", "s"]
    assert "running" in lines[1]


def test_the_live_table_tells_how_far_a_step_is_and_the_quiet_one_does_not():
    now = [0.0]
    live, quiet = io.StringIO(), io.StringIO()
    console = LiveConsole(live, clock=lambda: now[0])
    console.show(StepAdvanced(step("hidden"), 0.5))
    console.show(StepStarted(step("verify")))
    now[0] = 10.0
    console.show(StepAdvanced(step("verify"), 0.05))
    console.screen.print(console.render())
    assert live.getvalue().split()[2:] == ["running", "5%", "10.0", "s"]
    now[0] = 12.0
    console.show(StepAdvanced(step("verify"), 0.25))
    console.screen.print(console.render())
    left = ["about", "8", "s", "left"]  # a fifth took two seconds; what came before was not counted
    assert live.getvalue().splitlines()[-1].split()[2:] == ["running", "25%", "12.0", "s", *left]
    console.show(StepAdvanced(step("verify"), 1.0))
    console.screen.print(console.render())
    assert live.getvalue().splitlines()[-1].split()[2:] == ["running", "99%", "12.0", "s"]
    console.show(ended("verify", "ran", 10.5))
    console.screen.print(console.render())
    assert live.getvalue().splitlines()[-1].split() == ["verify", "ran", "10.50", "s"]
    QuietConsole(quiet).show(StepAdvanced(step("verify"), 0.25))
    assert quiet.getvalue() == ""


def test_a_note_of_a_worker_is_shown():
    one = step("import")
    result = StepResult(step_id=one.id, status="ran", elapsed=1.0, facts={"note": "loaded with tf_keras"})
    quiet, live = io.StringIO(), io.StringIO()
    QuietConsole(quiet).show(StepEnded(one, result))
    assert quiet.getvalue().rstrip().endswith("1.00 s  loaded with tf_keras")
    console = LiveConsole(live)
    console.show(StepEnded(one, result))
    console.screen.print(console.render())
    assert "loaded with tf_keras" in live.getvalue()


def test_where_a_result_was_fetched_from_is_shown():
    one = step("import")
    event = StepEnded(one, StepResult(step_id=one.id, status="hit", origin="cache:80", facts={"note": "old"}))
    quiet, live = io.StringIO(), io.StringIO()
    QuietConsole(quiet).show(event)
    assert quiet.getvalue().split() == ["import", "hit", "from", "cache:80", "old"]
    console = LiveConsole(live)
    console.show(StepFetching(one))
    assert [row.state for row in console.visible()] == ["looked up in the remote cache"]
    console.show(event)
    console.screen.print(console.render())
    assert "from cache:80" in live.getvalue()


def test_a_notice_is_a_line_of_its_own(capsys):
    quiet, live = io.StringIO(), io.StringIO()
    QuietConsole(quiet).show(Notice("warning: [red]gone[/red]"))
    LiveConsole(live).show(Notice("warning: [red]gone[/red]"))
    show_notices(Notice("warning: [red]gone[/red]"))
    show_notices(ended("import", "ran"))
    assert quiet.getvalue() == live.getvalue() == capsys.readouterr().err == "warning: [red]gone[/red]\n"
