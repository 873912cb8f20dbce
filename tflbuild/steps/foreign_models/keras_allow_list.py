"""The allow lists for Keras files: classes, functions and TensorFlow symbols that only compute.

A file may contain them by default. What a later version of Keras adds is refused until it has been reviewed. The lists
do not contain layers that carry code or read files (`Lambda`, `TFSMLayer`, `TorchModuleWrapper`, `JaxLayer`,
`FlaxLayer`), layers that call a function which the file names, and layers that call TensorFlow symbols (such as
`TFOpLambda`), since their symbol decides.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LAYERS = _words(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
    AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
    BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop
    Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose
    Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D
    Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU
    CuDNNLSTM CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding
    Equalization Flatten Functional GRU GRUCell GRUCellV1 GRUCellV2 GRUV1 GRUV2 GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing
    Identity InputLayer InputSpec IntegerLookup LSTM LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2 LayerScale
    LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxNumBoundingBoxes MaxPool1D
    MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp Model
    MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment
    RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform
    RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
    RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape ResidualWrapper Resizing
    ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D
    SeparableConvolution2D Sequential SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D
    SpatialDropout2D SpatialDropout3D StochasticDepth SpectralNormalization StackedRNNCells StringLookup Subtract
    SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)

# Operations of keras.ops, which a functional model contains like layers.
OPERATIONS = _words(
    """
    Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append
    Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array
    ArraySplit Average AveragePool BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert
    BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast
    CategoricalCrossentropy Cbrt Ceil Celu Cholesky CholeskyInverse Clip Concatenate Conj Conjugate Conv
    ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh CountNonzero CropImages Cross Cumprod Cumsum
    Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot
    DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu EmptyLike Equal Erf Erfc Erfinv Exp
    Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip Fliplr Flipud Floor FloorDivide
    Fmax Fmin Fmod Fold Full FullLike GaussianBlur Gcd Gelu Geomspace GetItem Glu Greater GreaterEqual HSVToRGB
    HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag
    InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron LayerNorm Lcm Ldexp
    LeakyRelu LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2
    Logdet LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp Lstsq LuFactor MapCoordinates Matmul
    MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot Multiply
    NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod
    Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero Norm Normalize NotEqual OneHot OnesLike
    Outer PSNR Pad PadImages Percentile PerspectiveTransform Pinv Polar Power Prod Ptp Qr Quantile RFFT
    RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Rearrange Reciprocal Relu Relu6 Repeat Reshape Resize
    RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast ScaleAndTranslate Scatter ScatterUpdate
    SearchSorted SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum Select Selu SeparableConv Sigmoid
    Sign Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax Softplus
    Softsign Solve SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid
    Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take
    TakeAlongAxis Tan Tanh TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu
    TrueDivide Trunc Unfold Unique UnravelIndex Unstack Vander Var Vdot View ViewAsComplex ViewAsReal Vsplit
    Vstack Where ZerosLike
    """
)

# Initializers, regularizers, constraints, policies, losses, metrics and optimizers.
PARTS = _words(
    """
    AUC AWQConfig AWQDTypePolicy AbsMaxQuantizer Accuracy Adadelta Adafactor Adagrad Adam AdamW Adamax
    BinaryAccuracy BinaryCrossentropy BinaryFocalCrossentropy BinaryIoU CTC CategoricalAccuracy
    CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge
    Circle ConcordanceCorrelation Constant ConstantV2 CosineDecay CosineDecayRestarts CosineSimilarity
    DTypePolicy DTypePolicyMap Dice ExponentialDecay F1Score FBetaScore FalseNegatives FalsePositives
    Float8QuantizationConfig FloatDTypePolicy Ftrl GPTQConfig GPTQDTypePolicy GlorotNormal GlorotNormalV2
    GlorotUniform GlorotUniformV2 HeNormal HeNormalV2 HeUniform HeUniformV2 Hinge Huber IdentityInitializer
    IdentityV2 Int4DTypePolicy Int4QuantizationConfig Int8QuantizationConfig InverseTimeDecay IoU KLDivergence
    L1 L1L2 L2 Lamb LecunNormal LecunNormalV2 LecunUniform LecunUniformV2 Lion LogCosh LogCoshError
    LossScaleOptimizer MaxNorm Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanSquaredError
    MeanSquaredLogarithmicError MinMaxNorm MultiOptimizer Muon Nadam NonNeg OneHotIoU OneHotMeanIoU Ones OnesV2
    Orthogonal OrthogonalInitializer OrthogonalRegularizer OrthogonalV2 PearsonCorrelation
    PiecewiseConstantDecay Poisson Policy PolicyV1 PolynomialDecay Precision PrecisionAtRecall
    QuantizationConfig QuantizedDTypePolicy QuantizedFloat8DTypePolicy R2Score RMSprop RadialConstraint
    RandomNormal RandomNormalV2 RandomUniform RandomUniformV2 Recall RecallAtPrecision RootMeanSquaredError SGD
    STFT STFTInitializer ScheduleFreeAdamW SeedGenerator SensitivityAtSpecificity SparseCategoricalAccuracy
    SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum
    TopKCategoricalAccuracy TrueNegatives TruePositives TruncatedNormal TruncatedNormalV2 Tversky UnitNorm
    VarianceScaling VarianceScalingV2 Zeros ZerosV2 constant glorot_normal glorot_uniform he_normal he_uniform
    identity l1 l1_l2 l2 lecun_normal lecun_uniform max_norm min_max_norm non_neg ones orthogonal
    orthogonal_regularizer random_normal random_uniform stft truncated_normal unit_norm variance_scaling zeros
    """
)

FUNCTIONS = _words(
    """
    binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy categorical_crossentropy
    categorical_focal_crossentropy categorical_generalized_cross_entropy categorical_hinge celu circle
    concordance_correlation cosine_similarity ctc dice elu exponential gelu glu hard_shrink hard_sigmoid
    hard_silu hard_swish hard_tanh hinge huber kl_divergence leaky_relu linear log_cosh log_sigmoid log_softmax
    mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error mish
    pearson_correlation poisson relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign
    sparse_categorical_accuracy sparse_categorical_crossentropy sparse_plus sparse_sigmoid
    sparse_top_k_categorical_accuracy sparsemax squared_hinge squareplus swish tanh tanh_shrink threshold
    top_k_categorical_accuracy tversky
    """
)

# Symbols of TensorFlow's API that a TFOpLambda may call.
SYMBOLS = _words(
    """
    __operators__.add __operators__.getitem __operators__.ragged_getitem abs add add_n argmax argmin argsort
    bitwise.bitwise_and bitwise.bitwise_or bitwise.bitwise_xor bitwise.invert bitwise.left_shift
    bitwise.right_shift boolean_mask broadcast_to cast clip_by_norm clip_by_value compat.v1.concat
    compat.v1.expand_dims compat.v1.gather compat.v1.image.resize_bilinear compat.v1.image.resize_images
    compat.v1.image.resize_nearest_neighbor compat.v1.math.argmax compat.v1.nn.avg_pool compat.v1.nn.conv2d
    compat.v1.nn.max_pool compat.v1.nn.softmax compat.v1.reshape compat.v1.shape compat.v1.squeeze
    compat.v1.transpose compat.v1.where concat convert_to_tensor cos cumsum divide einsum equal exp expand_dims
    eye fill floor gather gather_nd greater greater_equal identity image.adjust_brightness image.adjust_contrast
    image.central_crop image.combined_non_max_suppression image.convert_image_dtype image.crop_and_resize
    image.crop_to_bounding_box image.extract_patches image.flip_left_right image.flip_up_down
    image.grayscale_to_rgb image.hsv_to_rgb image.image_gradients image.non_max_suppression
    image.pad_to_bounding_box image.per_image_standardization image.resize image.resize_with_crop_or_pad
    image.resize_with_pad image.rgb_to_grayscale image.rgb_to_hsv image.rgb_to_yuv image.rot90 image.sobel_edges
    image.total_variation image.transpose image.yuv_to_rgb keras.activations.relu keras.activations.sigmoid
    keras.activations.softmax keras.backend.cast keras.backend.concatenate keras.backend.mean keras.backend.relu
    keras.backend.reshape keras.backend.sigmoid keras.backend.softmax keras.backend.sum less less_equal
    linalg.adjoint linalg.band_part linalg.cholesky linalg.cross linalg.det linalg.diag linalg.diag_part
    linalg.eigh linalg.einsum linalg.expm linalg.eye linalg.inv linalg.l2_normalize linalg.logdet linalg.matmul
    linalg.matrix_transpose linalg.matvec linalg.norm linalg.pinv linalg.qr linalg.set_diag linalg.solve
    linalg.svd linalg.tensordot linalg.trace linspace logical_and logical_not logical_or math.abs
    math.accumulate_n math.acos math.acosh math.add math.add_n math.angle math.argmax math.argmin math.asin
    math.asinh math.atan math.atan2 math.atanh math.bincount math.ceil math.conj math.cos math.cosh
    math.count_nonzero math.cumprod math.cumsum math.cumulative_logsumexp math.digamma math.divide
    math.divide_no_nan math.equal math.erf math.erfc math.erfcinv math.erfinv math.exp math.expm1 math.floor
    math.floordiv math.floormod math.greater math.greater_equal math.igamma math.imag math.in_top_k
    math.invert_permutation math.is_finite math.is_inf math.is_nan math.l2_normalize math.less math.less_equal
    math.lgamma math.log math.log1p math.log_sigmoid math.log_softmax math.logical_and math.logical_not
    math.logical_or math.logical_xor math.maximum math.minimum math.mod math.multiply math.multiply_no_nan
    math.ndtri math.negative math.nextafter math.not_equal math.polyval math.pow math.real math.reciprocal
    math.reciprocal_no_nan math.reduce_all math.reduce_any math.reduce_euclidean_norm math.reduce_logsumexp
    math.reduce_max math.reduce_mean math.reduce_min math.reduce_prod math.reduce_std math.reduce_sum
    math.reduce_variance math.rint math.round math.rsqrt math.scalar_mul math.segment_max math.segment_mean
    math.segment_min math.segment_sum math.sigmoid math.sign math.sin math.sinh math.softmax math.softplus
    math.softsign math.sqrt math.square math.squared_difference math.subtract math.tan math.tanh math.top_k
    math.truediv math.unsorted_segment_max math.unsorted_segment_mean math.unsorted_segment_sum math.xdivy
    math.xlogy math.zero_fraction matmul maximum meshgrid minimum multiply negative nn.atrous_conv2d nn.avg_pool
    nn.avg_pool1d nn.avg_pool2d nn.avg_pool3d nn.batch_normalization nn.bias_add nn.conv1d nn.conv2d
    nn.conv2d_transpose nn.conv3d nn.crelu nn.depth_to_space nn.depthwise_conv2d nn.dropout nn.elu
    nn.embedding_lookup nn.gelu nn.l2_loss nn.l2_normalize nn.leaky_relu nn.local_response_normalization
    nn.log_softmax nn.max_pool nn.max_pool1d nn.max_pool2d nn.max_pool3d nn.moments nn.relu nn.relu6 nn.selu
    nn.separable_conv2d nn.sigmoid nn.sigmoid_cross_entropy_with_logits nn.silu nn.softmax
    nn.softmax_cross_entropy_with_logits nn.softplus nn.softsign nn.space_to_depth
    nn.sparse_softmax_cross_entropy_with_logits nn.swish nn.tanh nn.top_k nn.zero_fraction norm not_equal
    one_hot ones ones_like pad pow quantization.fake_quant_with_min_max_args
    quantization.fake_quant_with_min_max_vars range rank realdiv repeat reshape reverse roll round scatter_nd
    searchsorted sequence_mask shape sigmoid sign signal.dct signal.fft signal.fft2d signal.frame
    signal.hamming_window signal.hann_window signal.idct signal.ifft signal.inverse_stft signal.irfft
    signal.linear_to_mel_weight_matrix signal.mfccs_from_log_mel_spectrograms signal.rfft signal.stft sin size
    slice sort space_to_batch split sqrt square squeeze stack stop_gradient strided_slice strings.join
    strings.length strings.lower strings.regex_replace strings.split strings.strip strings.substr
    strings.to_hash_bucket strings.to_hash_bucket_fast strings.to_number strings.unicode_decode
    strings.unicode_encode strings.unicode_split strings.upper subtract tan tanh tensor_scatter_nd_update
    tensordot tile transpose truediv unique unstack where zeros zeros_like
    """
)
