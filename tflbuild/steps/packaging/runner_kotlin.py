"""Runner.kt: the artifact run on Android, with the Interpreter of LiteRT."""

from __future__ import annotations

import json

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
// app/build.gradle: implementation("com.google.ai.edge.litert:litert:1.4.2"), which has org.tensorflow.lite.Interpreter
// (2.1 and later have it too, for the CPU), and androidResources { noCompress += "tflite" }.
//
//     val file = context.assets.openFd("model.tflite")
//     val model = file.createInputStream().channel.map(MapMode.READ_ONLY, file.startOffset, file.declaredLength)
//     Runner(model).use { runner -> runner.run(mapOf("INPUT" to values)) }
//
// Values are real ones on both sides, flat, the last dimension running fastest. A free size is 1: this interpreter
// resizes a signature's inputs for nested arrays alone, and this file feeds buffers.
@LEFT_OUT@
import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

class Runner(model: ByteBuffer) : Closeable {
    enum class Type(val bytes: Int, val least: Double, val greatest: Double) {
        FLOAT32(4, 0.0, 0.0),
        BOOL(1, 0.0, 1.0),
        UINT8(1, 0.0, 255.0),
        INT8(1, -128.0, 127.0),
        INT16(2, -32768.0, 32767.0),
        INT32(4, -2147483648.0, 2147483647.0),
        INT64(8, -9223372036854775808.0, 9223372036854775807.0)
    }

    /** Real value = (integer - zeroPoint) * scale; scale is 0 where it is not quantized. Fed as (x - mean) / std. */
    class Port(
        val name: String,
        val type: Type,
        val shape: IntArray,
        val scale: Float = 0f,
        val zeroPoint: Int = 0,
        val mean: FloatArray = floatArrayOf(),
        val std: FloatArray = floatArrayOf(),
        val threshold: Double = Double.NEGATIVE_INFINITY,
        val labels: List<String> = emptyList()
    ) {
        val size: Int get() = shape.fold(1) { product, size -> product * size }
    }

    class Signature(val key: String, val inputs: List<Port>, val outputs: List<Port>)

    private val interpreter = Interpreter(model)

    /** One call. State, if the model has any, starts afresh unless it is to be kept. */
    fun run(
        inputs: Map<String, DoubleArray>,
        signature: String = @MAIN@,
        keepState: Boolean = false
    ): Map<String, DoubleArray> {
        val entry = requireNotNull(SIGNATURES[signature]) { "signatures: ${SIGNATURES.keys}" }
        val names = entry.inputs.map { it.name }
        require(inputs.keys == names.toSet()) { "the inputs of '$signature' are $names, not ${inputs.keys}" }
        if (HAS_STATE && !keepState) interpreter.resetVariableTensors()
        val feeds = HashMap<String, Any>()
        for (port in entry.inputs) feeds[port.name] = encode(port, inputs.getValue(port.name))
        val found = HashMap<String, Any>()
        for (port in entry.outputs) found[port.name] = buffer(port)
        interpreter.runSignature(feeds, found, signature)
        return entry.outputs.associate { it.name to decode(it, found.getValue(it.name) as ByteBuffer) }
    }

    override fun close() = interpreter.close()

    companion object {
        const val HAS_STATE = @STATE@

@PORTS@
        val SIGNATURES: Map<String, Signature> = listOf<Signature>(
@SIGNATURES@
        ).associateBy { it.key }

        /** The best labels of one row of scores, the best first, none below the model's threshold. */
        fun top(
            scores: DoubleArray,
            output: String,
            signature: String = @MAIN@,
            count: Int = 5
        ): List<Pair<String, Double>> {
            val port = SIGNATURES.getValue(signature).outputs.first { it.name == output }
            require(scores.size == port.labels.size) { "${scores.size} scores for ${port.labels.size} labels" }
            return port.labels.zip(scores.toList()).filter { it.second >= port.threshold }
                .sortedByDescending { it.second }.take(count)
        }

        private fun buffer(port: Port): ByteBuffer =
            ByteBuffer.allocateDirect(port.size * port.type.bytes).order(ByteOrder.nativeOrder())

        /** An input as the model takes it: normalised, then quantized, or else as it is. */
        fun encode(port: Port, values: DoubleArray): ByteBuffer {
            require(values.size == port.size) { "'${port.name}' has ${port.size} values, not ${values.size}" }
            val made = buffer(port)
            for (index in values.indices) {
                var value = values[index]
                if (port.mean.isNotEmpty()) {
                    val mean = port.mean[index % port.mean.size]
                    value = ((value.toFloat() - mean) / port.std[index % port.std.size]).toDouble()
                }
                when {
                    port.type == Type.FLOAT32 -> made.putFloat(value.toFloat())
                    port.scale == 0f -> {
                        require(Math.rint(value) == value && value >= port.type.least && value <= port.type.greatest) {
                            "'${port.name}' takes whole numbers that ${port.type} can hold, not $value"
                        }
                        put(made, port.type, value.toLong())
                    }
                    else -> {
                        require(!value.isNaN()) { "'${port.name}' has a value that is no number" }
                        val integer = Math.rint((value.toFloat() / port.scale).toDouble()) + port.zeroPoint
                        put(made, port.type, Math.min(Math.max(integer, port.type.least), port.type.greatest).toLong())
                    }
                }
            }
            made.rewind()
            return made
        }

        private fun put(made: ByteBuffer, type: Type, integer: Long) {
            when (type) {
                Type.INT16 -> made.putShort(integer.toShort())
                Type.INT32 -> made.putInt(integer.toInt())
                Type.INT64 -> made.putLong(integer)
                else -> made.put(integer.toByte())
            }
        }

        /** An output as real values. */
        fun decode(port: Port, found: ByteBuffer): DoubleArray {
            found.rewind()
            return DoubleArray(port.size) {
                val stored = when (port.type) {
                    Type.FLOAT32 -> found.float.toDouble()
                    Type.INT16 -> found.short.toDouble()
                    Type.INT32 -> found.int.toDouble()
                    Type.INT64 -> found.long.toDouble()
                    Type.INT8 -> found.get().toDouble()
                    else -> (found.get().toInt() and 255).toDouble()
                }
                if (port.scale == 0f) stored else ((stored.toFloat() - port.zeroPoint) * port.scale).toDouble()
            }
        }
    }
}
"""


def render(contract: RunnerContract) -> str:
    """The file's text, for Kotlin 1.3 and later. A value of its own for each tensor: a method of the JVM is small."""
    limited = limit_types(contract, TYPES, "this file feeds numbers alone", bare=False)
    ports, signatures = [], []
    for number_, entry in enumerate(limited.entries):
        sides = []
        for side in ("inputs", "outputs"):
            names = [f"{side.upper()}_{number_}_{index}" for index in range(len(getattr(entry, side)))]
            sides.append(f"listOf<Port>({', '.join(names)})")
            ports += [_port(name, port) for name, port in zip(names, getattr(entry, side), strict=True)]
        signatures.append(f"            Signature({quote(entry.key)}, {', '.join(sides)})")
    return fill(
        TEMPLATE,
        TITLE=contract.title,
        LEFT_OUT=comment(limited, "//"),
        MAIN=quote(limited.entries[0].key if limited.entries else ""),
        STATE="true" if contract.state else "false",
        PORTS="\n".join(ports) + "\n" if ports else "",
        SIGNATURES=",\n".join(signatures),
    )


def quote(text: str) -> str:
    """A string literal: JSON's escapes, but for the form feed, and no template."""
    return json.dumps(text).replace("\\f", "\\u000c").replace("$", "\\$").replace("\x7f", "\\u007f")


def _port(name: str, port: RunnerTensor) -> str:
    fields = [quote(port.name), f"Type.{port.dtype.upper()}", f"intArrayOf({', '.join(_fixed(port.shape))})"]
    if port.scale is not None:
        fields += [f"scale = {number(port.scale)}f", f"zeroPoint = {port.zero_point}"]
    if port.mean:
        fields += [
            f"{side} = floatArrayOf({', '.join(f'{number(one)}f' for one in values)})"
            for side, values in (("mean", port.mean), ("std", port.std))
        ]
    if port.threshold is not None:
        fields.append(f"threshold = {number(port.threshold)}")
    if port.labels:
        fields.append(f"labels = listOf({', '.join(map(quote, port.labels))})")
    return f"        private val {name} = Port(\n            " + ",\n            ".join(fields) + "\n        )"


def _fixed(shape: tuple[int, ...]) -> list[str]:
    return [str(max(size, 1) if size < 0 else size) for size in shape]
