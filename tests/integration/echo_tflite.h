// The part of TensorFlow Lite's C++ interface that runner.cc calls, over a runtime that gives back what it is fed.
//
// A "model" is a text file: `signature N KEY`, then N lines `NAME BYTES_OF_AN_ELEMENT SIZE ...`: tensors that are at
// once inputs and outputs.
#ifndef ECHO_TFLITE_H_
#define ECHO_TFLITE_H_

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;

struct TfLiteIntArray {
  int size;
  int data[8];
};

union TfLitePtrUnion {
  char* raw;
};

struct TfLiteTensor {
  TfLiteIntArray* dims;
  TfLitePtrUnion data;
  size_t bytes;
};

namespace tflite {

struct EchoTensor {
  TfLiteTensor tensor;
  TfLiteIntArray dims;
  size_t element;
  std::vector<char> memory;
};

class SignatureRunner {
 public:
  std::map<std::string, EchoTensor> tensors;

  TfLiteTensor* input_tensor(const char* name) { return find(name); }
  const TfLiteTensor* output_tensor(const char* name) const { return const_cast<SignatureRunner*>(this)->find(name); }
  TfLiteStatus Invoke() { return kTfLiteOk; }

  TfLiteStatus ResizeInputTensor(const char* name, const std::vector<int>& sizes) {
    EchoTensor& one = tensors.at(name);
    one.dims.size = static_cast<int>(sizes.size());
    for (size_t axis = 0; axis < sizes.size(); ++axis) one.dims.data[axis] = sizes[axis];
    return kTfLiteOk;
  }

  TfLiteStatus AllocateTensors() {
    for (auto& named : tensors) {
      EchoTensor& one = named.second;
      size_t bytes = one.element;
      for (int axis = 0; axis < one.dims.size; ++axis) bytes *= static_cast<size_t>(one.dims.data[axis]);
      one.memory.assign(bytes, 0);
      one.tensor.dims = &one.dims;
      one.tensor.data.raw = one.memory.data();
      one.tensor.bytes = bytes;
    }
    return kTfLiteOk;
  }

 private:
  TfLiteTensor* find(const char* name) { return tensors.count(name) ? &tensors.at(name).tensor : nullptr; }
};

class FlatBufferModel {
 public:
  std::map<std::string, SignatureRunner> signatures;

  static std::unique_ptr<FlatBufferModel> BuildFromFile(const char* path) {
    std::ifstream file(path);
    if (!file) return nullptr;
    std::unique_ptr<FlatBufferModel> model(new FlatBufferModel);
    std::string word, key, line;
    size_t count;
    while (file >> word >> count && file.get() == ' ' && std::getline(file, key)) {
      SignatureRunner& runner = model->signatures[key];
      for (; count > 0 && std::getline(file, line); --count) {
        std::istringstream words(line);
        std::string name;
        EchoTensor one = {};
        words >> name >> one.element;
        while (words >> one.dims.data[one.dims.size]) ++one.dims.size;
        runner.tensors[name] = one;
      }
    }
    return model;
  }
};

class Interpreter {
 public:
  std::map<std::string, SignatureRunner> signatures;

  SignatureRunner* GetSignatureRunner(const char* key) { return signatures.count(key) ? &signatures.at(key) : nullptr; }
  TfLiteStatus ResetVariableTensors() { return kTfLiteOk; }
};

namespace ops {
namespace builtin {
class BuiltinOpResolver {};
}  // namespace builtin
}  // namespace ops

class InterpreterBuilder {
 public:
  InterpreterBuilder(const FlatBufferModel& model, const ops::builtin::BuiltinOpResolver&) : model_(model) {}

  TfLiteStatus operator()(std::unique_ptr<Interpreter>* interpreter) {
    interpreter->reset(new Interpreter);
    (*interpreter)->signatures = model_.signatures;
    return kTfLiteOk;
  }

 private:
  const FlatBufferModel& model_;
};

}  // namespace tflite

#endif  // ECHO_TFLITE_H_
