"""The C source of a model compiles without a warning, as C and as C++, and holds the model's very bytes."""

import subprocess

import pytest
from needs import needs_program
from one_op_cases import CASES
from proving import prove, request

from tflbuild.targets.tflm import proof as target_tflm

pytestmark = [pytest.mark.heavy, needs_program("g++")]

TARGET = {"name": "board", "table": "tflm", "version": "", "least_snr_db": 40, "symbol": "net"}
C_PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include "model.h"
int main(void) {
  const int shape[] = NET_INPUT_0_SHAPE;
  if ((uintptr_t)net_data % NET_ALIGNMENT != 0) return 2;
  if (net_bytes != NET_BYTES || NET_INPUTS != 1 || NET_ARENA_BYTES < 16) return 3;
  if (sizeof shape / sizeof shape[0] != NET_INPUT_0_RANK) return 4;
  if (NET_OUTPUT_0_SCALE <= 0 || NET_OUTPUT_0_ZERO_POINT < -128) return 5;
  return fwrite(net_data, 1, NET_BYTES, stdout) == NET_BYTES ? 0 : 6;
}
"""
# stands in for tflite::MicroMutableOpResolver: each method gives kTfLiteOk, which is 0
RESOLVER = """
#include "model.h"
template <unsigned count> struct Resolver {
  unsigned added = 0;
  int AddConv2D() { return ++added > count; }
  int AddRelu() { return ++added > count; }
};
int main() {
  Resolver<NET_OPERATORS> resolver;
  return NET_REGISTER_OPERATORS(resolver) && resolver.added == NET_OPERATORS ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of the source, and the model."""
    folder = tmp_path_factory.mktemp("source")
    prove(target_tflm.run, request(folder, TARGET, CASES["RELU_int8"], CASES["CONV_2D_int8"]))
    return folder / "outputs" / "compiled", (folder / "model.tflite").read_bytes()


def compile_and_run(folder, command, program, name):
    (folder / name).write_text(program)
    subprocess.run([*command, "-Wall", "-Wextra", "-Werror", "-o", folder / "run"], cwd=folder, check=True)
    return subprocess.run([folder / "run"], stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize(
    "command",
    [
        ["gcc", "-std=c11", "-pedantic", "-x", "c", "main.c", "model.cc"],
        ["g++", "-std=c++17", "-x", "c++", "main.c", "model.cc"],
    ],
    ids=["C", "C++"],
)
def test_the_array_is_the_model(made, command):
    folder, model = made
    assert compile_and_run(folder, command, C_PROGRAM, "main.c") == model


def test_every_operator_is_registered(made):
    compile_and_run(made[0], ["g++", "-std=c++17", "resolver.cc"], RESOLVER, "resolver.cc")
