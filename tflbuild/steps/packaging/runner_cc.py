"""runner.cc: the artifact run by C++, with TensorFlow Lite's SignatureRunner."""

from __future__ import annotations

from tflbuild.steps.packaging.runner_contract import (
    INTEGERS,
    RunnerContract,
    RunnerTensor,
    comment,
    fill,
    limit_types,
    number,
)

TYPES = (*INTEGERS, "float32")

TEMPLATE = """\
// @TITLE@: runs model.tflite. Written for this very artifact, with its scales and names in it.
//
// C++17. Link `tensorflow-lite`, as the CMake project in tensorflow/lite makes it, of a release that has signatures.
//
//     runner model.tflite SIGNATURE [INPUT=numbers.txt[:2,3] ...]
//
// numbers.txt has the input's real values, separated by white space, the last dimension running fastest; sizes behind
// the colon are for an input that has free ones. Inputs that are not named are zeros, their free sizes 1.
@LEFT_OUT@
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/lite/interpreter.h"
#include "tensorflow/lite/interpreter_builder.h"
#include "tensorflow/lite/kernels/register.h"
#include "tensorflow/lite/model_builder.h"
#include "tensorflow/lite/signature_runner.h"

namespace {

enum class Type { kFloat32, kBool, kUint8, kInt8, kInt16, kInt32, kInt64 };

// Real value = (integer - zero_point) * scale; scale is 0 where it is not quantized. In `shape`, -1 is a size of yours.
// Values are fed as (x - mean) / std, one number for all channels or one for each.
struct Port {
  std::string name;
  Type type;
  std::vector<int> shape;
  float scale = 0;
  int zero_point = 0;
  std::vector<float> mean;
  std::vector<float> std;
  double threshold = -std::numeric_limits<double>::infinity();
  std::vector<std::string> labels;
};

struct Signature {
  std::string key;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
};

const std::vector<Signature>& Signatures() {
  static const std::vector<Signature>* const kSignatures = new std::vector<Signature>{
@SIGNATURES@
  };
  return *kSignatures;
}

struct Values {
  std::vector<double> values;
  std::vector<int> shape;
};

size_t Count(const std::vector<int>& shape) {
  size_t count = 1;
  for (int size : shape) count *= static_cast<size_t>(size);
  return count;
}

template <typename T>
void Append(T value, std::vector<char>* bytes) {
  const char* start = reinterpret_cast<const char*>(&value);
  bytes->insert(bytes->end(), start, start + sizeof(T));
}

// Adds an integer that is whole already. Limits are checked as doubles: those of int64 lie just inside.
template <typename T>
void AppendInteger(double value, const Port& port, std::vector<char>* bytes) {
  const double least = port.type == Type::kBool ? 0 : static_cast<double>(std::numeric_limits<T>::lowest());
  double greatest = port.type == Type::kBool ? 1 : static_cast<double>(std::numeric_limits<T>::max());
  if (sizeof(T) == 8) greatest = std::nextafter(greatest, 0.0);
  if (port.scale != 0) value = std::min(std::max(value, least), greatest);
  if (value < least || value > greatest) throw std::out_of_range("'" + port.name + "' cannot hold a value that large");
  Append(static_cast<T>(value), bytes);
}

// An input as the model takes it: normalised, then quantized, or else as it is.
std::vector<char> Encode(const Values& input, const Port& port) {
  if (input.values.size() != Count(input.shape)) {
    throw std::invalid_argument("'" + port.name + "': the values do not fill the shape");
  }
  std::vector<char> bytes;
  for (size_t index = 0; index < input.values.size(); ++index) {
    double value = input.values[index];
    if (!port.mean.empty()) {
      const float mean = port.mean[index % port.mean.size()];
      value = (static_cast<float>(value) - mean) / port.std[index % port.std.size()];
    }
    if (port.type == Type::kFloat32) {
      Append(static_cast<float>(value), &bytes);
      continue;
    }
    if (std::isnan(value)) throw std::invalid_argument("'" + port.name + "' has a value that is no number");
    if (port.scale != 0) {
      value = static_cast<double>(std::nearbyint(static_cast<float>(value) / port.scale)) + port.zero_point;
    } else if (std::nearbyint(value) != value) {
      throw std::invalid_argument("'" + port.name + "' takes whole numbers");
    }
    switch (port.type) {
      case Type::kInt8: AppendInteger<int8_t>(value, port, &bytes); break;
      case Type::kInt16: AppendInteger<int16_t>(value, port, &bytes); break;
      case Type::kInt32: AppendInteger<int32_t>(value, port, &bytes); break;
      case Type::kInt64: AppendInteger<int64_t>(value, port, &bytes); break;
      default: AppendInteger<uint8_t>(value, port, &bytes);
    }
  }
  return bytes;
}

template <typename T>
std::vector<double> Stored(const char* bytes, size_t size) {
  std::vector<double> values(size / sizeof(T));
  for (size_t index = 0; index < values.size(); ++index) {
    T value;
    std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
    values[index] = static_cast<double>(value);
  }
  return values;
}

// An output as real values.
std::vector<double> Decode(const char* bytes, size_t size, const Port& port) {
  std::vector<double> values;
  switch (port.type) {
    case Type::kFloat32: values = Stored<float>(bytes, size); break;
    case Type::kInt8: values = Stored<int8_t>(bytes, size); break;
    case Type::kInt16: values = Stored<int16_t>(bytes, size); break;
    case Type::kInt32: values = Stored<int32_t>(bytes, size); break;
    case Type::kInt64: values = Stored<int64_t>(bytes, size); break;
    default: values = Stored<uint8_t>(bytes, size);
  }
  if (port.scale != 0) {
    for (double& value : values) value = (static_cast<float>(value) - port.zero_point) * port.scale;
  }
  return values;
}

void Check(TfLiteStatus status, const std::string& what) {
  if (status != kTfLiteOk) throw std::runtime_error("cannot " + what + " the model");
}

class Runner {
 public:
  explicit Runner(const std::string& path) : model_(tflite::FlatBufferModel::BuildFromFile(path.c_str())) {
    if (model_ == nullptr) throw std::runtime_error("no model at " + path);
    tflite::ops::builtin::BuiltinOpResolver resolver;
    Check(tflite::InterpreterBuilder(*model_, resolver)(&interpreter_), "open");
  }

  // Real values in and out, by name. State, if the model has any, starts afresh unless it is to be kept.
  std::map<std::string, Values> Run(const Signature& signature, const std::map<std::string, Values>& inputs,
                                    bool keep_state = false) {
    tflite::SignatureRunner* runner = interpreter_->GetSignatureRunner(signature.key.c_str());
    if (runner == nullptr) throw std::runtime_error("the model has no signature '" + signature.key + "'");
    for (const Port& port : signature.inputs) {
      const std::vector<int>& shape = inputs.at(port.name).shape;
      bool fits = shape.size() == port.shape.size(), free = false;
      for (size_t axis = 0; fits && axis < shape.size(); ++axis) {
        free |= port.shape[axis] == -1;
        fits = port.shape[axis] == -1 || port.shape[axis] == shape[axis];
      }
      if (!fits) throw std::invalid_argument("'" + port.name + "' has another shape");
      if (free) Check(runner->ResizeInputTensor(port.name.c_str(), shape), "resize");
    }
    Check(runner->AllocateTensors(), "allocate");
    if (!keep_state) Check(interpreter_->ResetVariableTensors(), "reset");
    for (const Port& port : signature.inputs) {
      const std::vector<char> bytes = Encode(inputs.at(port.name), port);
      TfLiteTensor* tensor = runner->input_tensor(port.name.c_str());
      if (tensor == nullptr || tensor->bytes != bytes.size()) {
        throw std::runtime_error("the model's input '" + port.name + "' is another than this file's");
      }
      std::memcpy(tensor->data.raw, bytes.data(), bytes.size());
    }
    Check(runner->Invoke(), "run");
    std::map<std::string, Values> found;
    for (const Port& port : signature.outputs) {
      const TfLiteTensor* tensor = runner->output_tensor(port.name.c_str());
      if (tensor == nullptr) throw std::runtime_error("the model has no output '" + port.name + "'");
      const std::vector<int> shape(tensor->dims->data, tensor->dims->data + tensor->dims->size);
      found[port.name] = {Decode(tensor->data.raw, tensor->bytes, port), shape};
    }
    return found;
  }

 private:
  std::unique_ptr<tflite::FlatBufferModel> model_;
  std::unique_ptr<tflite::Interpreter> interpreter_;
};

// The best labels of one row of scores, the best first, none below the model's threshold.
std::vector<std::pair<std::string, double>> Top(const double* scores, const Port& port, size_t count = 5) {
  std::vector<std::pair<std::string, double>> found;
  for (size_t index = 0; index < port.labels.size(); ++index) {
    if (scores[index] >= port.threshold) found.emplace_back(port.labels[index], scores[index]);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (found.size() > count) found.resize(count);
  return found;
}

Values Read(const std::string& place, const Port& port) {
  const size_t colon = place.rfind(':');
  Values values;
  std::ifstream file(place.substr(0, colon));
  if (!file) throw std::invalid_argument("cannot read " + place);
  for (std::string word; file >> word;) {
    char* end = nullptr;
    values.values.push_back(std::strtod(word.c_str(), &end));
    if (*end != 0) throw std::invalid_argument(place + ": '" + word + "' is no number");
  }
  values.shape = port.shape;
  if (colon != std::string::npos) {
    values.shape.clear();
    std::stringstream sizes(place.substr(colon + 1));
    for (std::string size; std::getline(sizes, size, ',');) values.shape.push_back(std::stoi(size));
  }
  for (int& size : values.shape) size = size < 0 ? 1 : size;
  return values;
}

Values Zeros(const Port& port) {
  Values values;
  for (int size : port.shape) values.shape.push_back(size < 0 ? 1 : size);
  values.values.assign(Count(values.shape), 0);
  return values;
}

void Show(const Port& port, const Values& found) {
  std::printf("%s:", port.name.c_str());
  for (double value : found.values) std::printf(" %.9g", value);
  std::printf("\\n");
  const size_t labels = port.labels.size();
  for (size_t row = 0; labels != 0 && (row + 1) * labels <= found.values.size(); ++row) {
    for (const auto& best : Top(found.values.data() + row * labels, port)) {
      std::printf("  %s %.4g\\n", best.first.c_str(), best.second);
    }
  }
}

int Main(int count, char** arguments) {
  if (count < 3) throw std::invalid_argument("usage: runner model.tflite SIGNATURE [INPUT=numbers.txt[:2,3] ...]");
  for (const Signature& signature : Signatures()) {
    if (signature.key != arguments[2]) continue;
    std::map<std::string, Values> inputs;
    for (const Port& port : signature.inputs) {
      inputs[port.name] = Zeros(port);
      for (int index = 3; index < count; ++index) {
        const std::string given = arguments[index], start = port.name + "=";
        if (given.compare(0, start.size(), start) == 0) inputs[port.name] = Read(given.substr(start.size()), port);
      }
    }
    const std::map<std::string, Values> found = Runner(arguments[1]).Run(signature, inputs);
    for (const Port& port : signature.outputs) Show(port, found.at(port.name));
    return 0;
  }
  throw std::invalid_argument(std::string("no signature ") + arguments[2] + " is in this file");
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return Main(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\\n", error.what());
    return 1;
  }
}
"""


def render(contract: RunnerContract) -> str:
    """The file's text."""
    limited = limit_types(contract, TYPES, "this file feeds numbers alone")
    signatures = []
    for entry in limited.entries:
        sides = [", ".join(map(_port, side)) for side in (entry.inputs, entry.outputs)]
        signatures.append(f"      {{{quote(entry.key)},\n       {{{sides[0]}}},\n       {{{sides[1]}}}}},")
    return fill(
        TEMPLATE,
        TITLE=contract.title,
        LEFT_OUT=comment(limited, "//"),
        SIGNATURES="\n".join(signatures),
    )


def quote(text: str) -> str:
    """A string literal. Bytes that are no printable ASCII, and what starts a trigraph, are told in octal."""
    plain = {'"': '\\"', "\\": "\\\\"}
    made = [
        plain.get(chr(byte)) or (chr(byte) if 32 <= byte < 127 and chr(byte) != "?" else f"\\{byte:03o}")
        for byte in text.encode("utf-8", "replace")
    ]
    return '"' + "".join(made) + '"'


def _port(port: RunnerTensor) -> str:
    threshold = "-std::numeric_limits<double>::infinity()" if port.threshold is None else number(port.threshold)
    fields = [
        quote(port.name),
        f"Type::k{port.dtype.capitalize()}",
        f"{{{', '.join(map(str, port.shape))}}}",
        f"{number(port.scale or 0.0)}f",
        str(port.zero_point),
        *(f"{{{', '.join(f'{number(one)}f' for one in values)}}}" for values in (port.mean, port.std)),
        threshold,
        f"{{{', '.join(map(quote, port.labels))}}}",
    ]
    return f"{{{', '.join(fields)}}}"
