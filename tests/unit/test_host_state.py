"""The record of a host, from files as Linux has them."""

from __future__ import annotations

import json

import pytest

from tflbuild.steps.benchmarking import host_state

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz\nflags\t\t: fpu sse hypervisor\n\nprocessor\t: 1\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    (tmp_path / "cpufreq").mkdir()
    monkeypatch.setattr(host_state, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(host_state, "CPUFREQ", tmp_path / "cpufreq")
    return tmp_path


def test_the_device_is_told_to_be_this_host(files, monkeypatch):
    monkeypatch.setattr(host_state, "cores", lambda: 1)
    assert host_state.device() == "this host: Some CPU @ 3.00GHz, 1 core"


def test_what_cannot_be_read_is_unknown(files):
    found = host_state.environment()
    assert (found["governor"], found["mhz"], found["virtual"]) == ("", None, True)
    (files / "cpuinfo").unlink()
    assert host_state.cpu_model(), "the architecture, at least"
    assert host_state.environment()["virtual"] is False
    json.dumps(found, allow_nan=False)


def test_the_clock_and_its_governor_are_read_where_they_are_told(files):
    (files / "cpufreq" / "scaling_cur_freq").write_text("2400000\n")
    (files / "cpufreq" / "scaling_governor").write_text("powersave\n")
    found = host_state.environment()
    assert (found["governor"], found["mhz"]) == ("powersave", 2400.0)


def test_disturbance_is_counted_from_then_on():
    told = host_state.Disturbance(0, 0).since()
    assert told["preemptions"] >= 0 and told["stolen_s"] >= 0
    now = host_state.disturbance()
    assert now.since()["preemptions"] <= host_state.Disturbance(0, 0).since()["preemptions"]
