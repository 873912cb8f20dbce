"""Runner.swift: the artifact run on Apple's systems, with the C library under TensorFlowLiteSwift."""

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
// Podfile: pod 'TensorFlowLiteSwift', '~> 2.17.0'. It brings TensorFlowLiteC, which is what this file calls: the Swift
// classes of that version have no type for int8, and cannot give an int8 output.
//
//     let runner = try Runner(path: Bundle.main.path(forResource: "model", ofType: "tflite")!)
//     let found = try runner.run(["INPUT": Runner.Values(values, shape: [1, 2, 3])])
//
// Values are real ones on both sides, flat, the last dimension running fastest.
@LEFT_OUT@
import Foundation
import TensorFlowLiteC

public final class Runner {
  public enum ElementType {
    case float32, bool, uint8, int8, int16, int32, int64

    var bytes: Int {
      switch self {
      case .bool, .uint8, .int8: return 1
      case .int16: return 2
      case .float32, .int32: return 4
      case .int64: return 8
      }
    }

    /// The least and the greatest integer, as far as a Double can tell them.
    var limits: (Double, Double) {
      switch self {
      case .float32: return (0, 0)
      case .bool: return (0, 1)
      case .uint8: return (0, 255)
      case .int8: return (-128, 127)
      case .int16: return (-32768, 32767)
      case .int32: return (-2147483648, 2147483647)
      case .int64: return (-9223372036854775808, 9223372036854774784)
      }
    }
  }

  /// Real value = (integer - zeroPoint) * scale; scale is 0 where it is not quantized. In `shape`, -1 is a size of
  /// yours. Values are fed as (x - mean) / std, one number for all channels or one for each.
  public struct Port {
    let name: String
    let type: ElementType
    let shape: [Int]
    var scale: Float = 0
    var zeroPoint: Int = 0
    var mean: [Float] = []
    var std: [Float] = []
    var threshold: Double = -Double.infinity
    var labels: [String] = []
  }

  public struct Signature {
    let key: String
    let inputs: [Port]
    let outputs: [Port]
  }

  public struct Values {
    public let values: [Double]
    public let shape: [Int]

    public init(_ values: [Double], shape: [Int]) {
      self.values = values
      self.shape = shape
    }
  }

  public struct Failure: Error {
    public let text: String
  }

@PORTS@
  public static let signatures: [Signature] = [
@SIGNATURES@
  ]

  private let model: OpaquePointer
  private let interpreter: OpaquePointer
  private var runners: [String: OpaquePointer] = [:]

  public init(path: String) throws {
    guard let model = TfLiteModelCreateFromFile(path) else { throw Failure(text: "no model at \\(path)") }
    guard let interpreter = TfLiteInterpreterCreate(model, nil) else {
      TfLiteModelDelete(model)
      throw Failure(text: "this runtime cannot open the model")
    }
    self.model = model
    self.interpreter = interpreter
  }

  deinit {
    for runner in runners.values { TfLiteSignatureRunnerDelete(runner) }
    TfLiteInterpreterDelete(interpreter)
    TfLiteModelDelete(model)
  }

  /// One call.@STATE@
  public func run(_ inputs: [String: Values], signature key: String = @MAIN@) throws -> [String: Values] {
    guard let entry = Runner.signatures.first(where: { $0.key == key }) else {
      throw Failure(text: "signatures: \\(Runner.signatures.map { $0.key })")
    }
    let names = entry.inputs.map { $0.name }
    guard Set(names) == Set(inputs.keys) else {
      throw Failure(text: "the inputs of '\\(key)' are \\(names), not \\(Array(inputs.keys))")
    }
    let runner = try open(key)
    for port in entry.inputs {
      let shape = inputs[port.name]!.shape
      let fits = shape.count == port.shape.count && !zip(port.shape, shape).contains { $0 != -1 && $0 != $1 }
      guard fits else { throw Failure(text: "'\\(port.name)' has the shape \\(port.shape), not \\(shape)") }
      if port.shape.contains(-1) {
        let sizes = shape.map { Int32($0) }
        try check(TfLiteSignatureRunnerResizeInputTensor(runner, port.name, sizes, Int32(sizes.count)), "resize")
      }
    }
    try check(TfLiteSignatureRunnerAllocateTensors(runner), "allocate")
    for port in entry.inputs {
      let bytes = try Runner.encode(inputs[port.name]!, port)
      let tensor = TfLiteSignatureRunnerGetInputTensor(runner, port.name)
      try check(TfLiteTensorCopyFromBuffer(tensor, bytes, bytes.count), "feed '\\(port.name)' to")
    }
    try check(TfLiteSignatureRunnerInvoke(runner), "run")
    var found: [String: Values] = [:]
    for port in entry.outputs {
      guard let tensor = TfLiteSignatureRunnerGetOutputTensor(runner, port.name) else {
        throw Failure(text: "the model has no output '\\(port.name)'")
      }
      var bytes = [UInt8](repeating: 0, count: TfLiteTensorByteSize(tensor))
      try check(TfLiteTensorCopyToBuffer(tensor, &bytes, bytes.count), "read '\\(port.name)' of")
      let shape = (0..<TfLiteTensorNumDims(tensor)).map { Int(TfLiteTensorDim(tensor, $0)) }
      found[port.name] = Values(Runner.decode(bytes, port), shape: shape)
    }
    return found
  }

  /// The best labels of one row of scores, the best first, none below the model's threshold.
  public static func top(
    _ scores: [Double], output: String, signature key: String = @MAIN@, count: Int = 5
  ) throws -> [(String, Double)] {
    let entry = signatures.first { $0.key == key }
    guard let port = entry?.outputs.first(where: { $0.name == output }), port.labels.count == scores.count else {
      throw Failure(text: "'\\(output)' of '\\(key)' has no label for each of \\(scores.count) scores: give one row")
    }
    let named = zip(port.labels, scores).filter { $0.1 >= port.threshold }
    return Array(named.sorted { $0.1 > $1.1 }.prefix(count))
  }

  private func open(_ key: String) throws -> OpaquePointer {
    if let runner = runners[key] { return runner }
    guard let runner = TfLiteInterpreterGetSignatureRunner(interpreter, key) else {
      throw Failure(text: "the model has no signature '\\(key)'")
    }
    runners[key] = runner
    return runner
  }

  private func check(_ status: TfLiteStatus, _ what: String) throws {
    guard status == kTfLiteOk else { throw Failure(text: "cannot \\(what) the model") }
  }

  /// An input as the model takes it: normalised, then quantized, or else as it is.
  static func encode(_ input: Values, _ port: Port) throws -> [UInt8] {
    guard input.values.count == input.shape.reduce(1, *) else {
      throw Failure(text: "'\\(port.name)' has \\(input.values.count) values for the shape \\(input.shape)")
    }
    var made: [UInt8] = []
    made.reserveCapacity(input.values.count * port.type.bytes)
    let (least, greatest) = port.type.limits
    for (index, given) in input.values.enumerated() {
      var value = given
      if !port.mean.isEmpty {
        value = Double((Float(value) - port.mean[index % port.mean.count]) / port.std[index % port.std.count])
      }
      if port.type == .float32 {
        append(Float(value).bitPattern, to: &made)
        continue
      }
      if port.scale == 0 {
        guard value.rounded() == value && value >= least && value <= greatest else {
          throw Failure(text: "'\\(port.name)' takes whole numbers that \\(port.type) can hold, not \\(value)")
        }
      } else {
        guard !value.isNaN else { throw Failure(text: "'\\(port.name)' has a value that is no number") }
        let integer = Double((Float(value) / port.scale).rounded(.toNearestOrEven)) + Double(port.zeroPoint)
        value = min(max(integer, least), greatest)
      }
      switch port.type {
      case .bool, .uint8: made.append(UInt8(value))
      case .int16: append(Int16(value), to: &made)
      case .int32: append(Int32(value), to: &made)
      case .int64: append(Int64(value), to: &made)
      default: append(Int8(value), to: &made)
      }
    }
    return made
  }

  private static func append<T: FixedWidthInteger>(_ integer: T, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: integer.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// An output as real values.
  static func decode(_ bytes: [UInt8], _ port: Port) -> [Double] {
    return (0..<bytes.count / port.type.bytes).map { index in
      var bits: UInt64 = 0
      for place in 0..<port.type.bytes { bits |= UInt64(bytes[index * port.type.bytes + place]) << UInt64(8 * place) }
      let stored: Double
      switch port.type {
      case .float32: stored = Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
      case .bool, .uint8: stored = Double(bits)
      case .int8: stored = Double(Int8(truncatingIfNeeded: bits))
      case .int16: stored = Double(Int16(truncatingIfNeeded: bits))
      case .int32: stored = Double(Int32(truncatingIfNeeded: bits))
      case .int64: stored = Double(Int64(truncatingIfNeeded: bits))
      }
      return port.scale == 0 ? stored : Double((Float(stored) - Float(port.zeroPoint)) * port.scale)
    }
  }
}
"""
STATE = """ It keeps state from one to the next: make another Runner to start afresh."""


def render(contract: RunnerContract) -> str:
    """The file's text, for Swift 5. A value of its own for each tensor: the compiler is slow with nested literals."""
    limited = limit_types(contract, TYPES, "this file feeds numbers alone")
    ports, signatures = [], []
    for place, entry in enumerate(limited.entries):
        sides = []
        for side in ("inputs", "outputs"):
            names = [f"{side}{place}x{index}" for index in range(len(getattr(entry, side)))]
            sides.append(f"{side}: [{', '.join(names)}]")
            ports += [_port(name, port) for name, port in zip(names, getattr(entry, side), strict=True)]
        signatures.append(f"    Signature(key: {quote(entry.key)}, {', '.join(sides)}),")
    return fill(
        TEMPLATE,
        TITLE=contract.title,
        LEFT_OUT=comment(limited, "//"),
        MAIN=quote(limited.entries[0].key if limited.entries else ""),
        STATE=STATE if contract.state else "",
        PORTS="\n".join(ports) + "\n" if ports else "",
        SIGNATURES="\n".join(signatures),
    )


def quote(text: str) -> str:
    """A string literal. What is no printable ASCII is told by its code point."""
    plain = {'"': '\\"', "\\": "\\\\"}
    made = [plain.get(one) or (one if " " <= one <= "~" else f"\\u{{{ord(one):x}}}") for one in text]
    return '"' + "".join(made) + '"'


def _port(name: str, port: RunnerTensor) -> str:
    fields = [f"name: {quote(port.name)}", f"type: .{port.dtype}", f"shape: [{', '.join(map(str, port.shape))}]"]
    if port.scale is not None:
        fields += [f"scale: {number(port.scale)}", f"zeroPoint: {port.zero_point}"]
    if port.mean:
        fields += [
            f"{side}: [{', '.join(map(number, values))}]" for side, values in (("mean", port.mean), ("std", port.std))
        ]
    if port.threshold is not None:
        fields.append(f"threshold: {number(port.threshold)}")
    if port.labels:
        fields.append(f"labels: [{', '.join(map(quote, port.labels))}]")
    return f"  private static let {name} = Port(\n    " + ",\n    ".join(fields) + ")"
