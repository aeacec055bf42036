#!/usr/bin/env python3
"""The inputs and weights behind golden.json, in closed form (numpy only).

rng(seed)      = numpy.random.Generator(numpy.random.PCG64(seed))
teacher layer  i = 0..15 in TEACHER order, seed 1000 + i
student layer  i = 0..18 in STUDENT order, seed 2000 + i
  one generator per layer, drawn in this order:
    W = rng.standard_normal(shape, dtype=float32) * float32(sqrt(2 / fan_in))
    b = rng.standard_normal(cout,  dtype=float32) * float32(0.01)
  shape: conv = (kh, kw, cin, cout) = HWIO, fan_in = kh * kw * cin
         fc   = (in, out)           = IO,   fan_in = in      (y = x @ W + b)
image = rng(7).random((2, 224, 224, 3), dtype=float32) * float32(255)    NHWC
text  = rng(8).standard_normal((2, 1024), dtype=float32)
Sampled values of a tensor of N elements: C-order flattening of the TF layout
(NHWC activations, HWIO / IO weights and their gradients), positions
  sample_indices(N) = [(12345 + k * 2654435761) % N for k in range(16)]

Run as a script it computes everything and compares it with the checksums below: sums must
agree to a relative 1e-6; whether the CRC-32 of the little-endian float32 bytes agrees too is
printed (a libm that rounds log1pf or expf differently in the rare ziggurat tail could break
that without mattering).
"""

from __future__ import annotations

import math
import zlib

import numpy as np

BATCH = 2


def rng(seed):
    return np.random.Generator(np.random.PCG64(seed))


# fmt: off
TEACHER = [  # name, HWIO shape
    ("conv1_1", (3, 3, 3, 64)), ("conv1_2", (3, 3, 64, 64)),
    ("conv2_1", (3, 3, 64, 128)), ("conv2_2", (3, 3, 128, 128)),
    ("conv3_1", (3, 3, 128, 256)), ("conv3_2", (3, 3, 256, 256)),
    ("conv3_3", (3, 3, 256, 256)), ("conv3_4", (3, 3, 256, 256)),
    ("conv4_1", (3, 3, 256, 512)), ("conv4_2", (3, 3, 512, 512)),
    ("conv4_3", (3, 3, 512, 512)), ("conv4_4", (3, 3, 512, 512)),
    ("conv5_1", (3, 3, 512, 512)), ("conv5_2", (3, 3, 512, 512)),
    ("conv5_3", (3, 3, 512, 512)), ("conv5_4", (3, 3, 512, 512)),
]

STUDENT = [  # name, IO shape for the three fc layers, HWIO for the convs
    ("g_fc7", (1024, 4096)), ("g_fc6", (4096, 4096)), ("g_pool5", (4096, 25088)),
    ("g_conv5_3", (3, 3, 512, 512)), ("g_conv5_2", (3, 3, 512, 512)),
    ("g_conv5_1", (3, 3, 512, 512)), ("g_pool4", (3, 3, 512, 512)),
    ("g_conv4_3", (3, 3, 512, 512)), ("g_conv4_2", (3, 3, 512, 512)),
    ("g_conv4_1", (3, 3, 512, 512)), ("g_pool3", (3, 3, 512, 256)),
    ("g_conv3_3", (3, 3, 256, 256)), ("g_conv3_2", (3, 3, 256, 256)),
    ("g_conv3_1", (3, 3, 256, 256)), ("g_pool2", (3, 3, 256, 128)),
    ("g_conv2_1", (3, 3, 128, 128)), ("g_pool1", (3, 3, 128, 64)),
    ("g_conv1_1", (3, 3, 64, 64)), ("g_img", (3, 3, 64, 3)),
]
# fmt: on


def layer(seed, shape):
    gen = rng(seed)
    scale = np.float32(math.sqrt(2.0 / math.prod(shape[:-1])))
    w = gen.standard_normal(shape, dtype=np.float32) * scale
    b = gen.standard_normal(shape[-1], dtype=np.float32) * np.float32(0.01)
    return w, b


def teacher_weights():
    """{name: (W, b)} in TEACHER order."""
    return {n: layer(1000 + i, s) for i, (n, s) in enumerate(TEACHER)}


def student_weights():
    """{name: (W, b)} in STUDENT order."""
    return {n: layer(2000 + i, s) for i, (n, s) in enumerate(STUDENT)}


def image(batch=BATCH):
    return rng(7).random((batch, 224, 224, 3), dtype=np.float32) * np.float32(255)


def text(batch=BATCH):
    return rng(8).standard_normal((batch, 1024), dtype=np.float32)


def sample_indices(n, count=16):
    return [(12345 + k * 2654435761) % n for k in range(count)]


def checksum(a):
    """Return [sum, sum of magnitudes, CRC-32 of the little-endian float32 bytes] of an array."""
    a = np.ascontiguousarray(a, dtype="<f4")
    f = a.reshape(-1).astype(np.float64)
    return [float(f.sum()), float(np.abs(f).sum()), zlib.crc32(a.tobytes())]


# name -> [sum, sum |.|, crc32]
CHECKSUMS = {
    "image": [38432299.881869495, 38432299.881869495, 0xD7CE8C9F],
    "text": [1.4325323220109567, 1601.302177780657, 0xF1002458],
    "conv1_1/W": [-6.342457898543216, 367.5871477769688, 0x56CE3C25],
    "conv1_1/b": [0.0860433691268554, 0.4821733716962626, 0x4CAC5CBC],
    "conv1_2/W": [6.051727147458905, 1735.881725656385, 0x1B8BD799],
    "conv1_2/b": [-0.007292569091077894, 0.5159643282531761, 0x664B01D8],
    "conv2_1/W": [-14.311207231270714, 3454.892060689969, 0xBC9EC1F3],
    "conv2_1/b": [-0.15130711301753763, 1.1498395093803992, 0xA70D3DDD],
    "conv2_2/W": [-8.366064581744496, 4903.85186473824, 0x1B3AF772],
    "conv2_2/b": [0.002269993012305349, 1.0576091160182841, 0x0D470C14],
    "conv3_1/W": [33.707077721084744, 9826.26866454865, 0xAA5D1ACF],
    "conv3_1/b": [-0.0733239404107735, 2.0478067750773334, 0xDFBB0965],
    "conv3_2/W": [16.71839738134213, 13881.255444148122, 0x680AB197],
    "conv3_2/b": [-0.3257721696008957, 2.245470119671154, 0x6AEEBA51],
    "conv3_3/W": [26.594970927259716, 13855.829079149822, 0x2338CD42],
    "conv3_3/b": [-0.021283279799718002, 2.102479583320928, 0x3FD1895A],
    "conv3_4/W": [-38.68328464883923, 13886.288404070412, 0x689ED4C4],
    "conv3_4/b": [0.02463267611892661, 2.021038027094619, 0xA031BB1A],
    "conv4_1/W": [5.722257789969959, 27754.975771458587, 0xF9DEC3EB],
    "conv4_1/b": [0.3597689157759305, 3.9030147085140925, 0x722430E1],
    "conv4_2/W": [-8.070235376388561, 39212.47358517784, 0x4E0D39D0],
    "conv4_2/b": [-0.029102320103902457, 3.9998323638114925, 0x76CB8820],
    "conv4_3/W": [16.26230908946632, 39196.716785451776, 0x8E07B3C0],
    "conv4_3/b": [-0.3596798464022868, 4.212897902663826, 0x4EA35B8B],
    "conv4_4/W": [9.311609238658345, 39211.636463430295, 0xF67DDFDA],
    "conv4_4/b": [-0.011173089285875903, 4.2170394067397865, 0x44BC62DE],
    "conv5_1/W": [-58.197568616663695, 39225.352372674024, 0xA3E7248C],
    "conv5_1/b": [0.10123925541847711, 3.9915803577096085, 0x03EF9672],
    "conv5_2/W": [-26.004671756686005, 39241.97730934868, 0x514571F2],
    "conv5_2/b": [-0.19707603550341446, 4.202933692540682, 0x1BD10F3D],
    "conv5_3/W": [-32.89875687314236, 39204.55396523302, 0x98D54745],
    "conv5_3/b": [-0.27560227157664485, 3.953063312023005, 0xCB1A539F],
    "conv5_4/W": [-30.09972886725423, 39223.11632916295, 0x085C7412],
    "conv5_4/b": [-0.01878044925069844, 4.041422779971981, 0xB4580F7B],
    "g_fc7/W": [93.34620849134728, 147932.234104293, 0xB6FE34FD],
    "g_fc7/b": [1.1642064637333078, 32.12602876715323, 0x57299386],
    "g_fc6/W": [192.66233969055725, 295854.8669028873, 0xB3F498DC],
    "g_fc6/b": [-0.28147250891265685, 32.094297286246956, 0xD03132A6],
    "g_pool5/W": [-397.0486891216742, 1811704.6848064535, 0x18D9EB26],
    "g_pool5/b": [1.382714185589748, 200.32471057698194, 0x39386344],
    "g_conv5_3/W": [13.955472116747414, 39207.38546865993, 0xABF2CA88],
    "g_conv5_3/b": [-0.18195679995187675, 4.095995899737318, 0x981826F8],
    "g_conv5_2/W": [8.678846104905185, 39213.39526203052, 0xB8340438],
    "g_conv5_2/b": [0.04833746800431982, 3.8729630689922487, 0x33A6557E],
    "g_conv5_1/W": [-33.71939380589185, 39214.93195889359, 0x18E3E4B4],
    "g_conv5_1/b": [0.26428336764820415, 4.0028495898268375, 0xCA887F0C],
    "g_pool4/W": [-9.02323880019825, 39235.10377492927, 0x8571C961],
    "g_pool4/b": [-0.08082744442435796, 3.928127067079913, 0xE2A54A8D],
    "g_conv4_3/W": [-56.611673706542106, 39221.006552743434, 0x17CD3E10],
    "g_conv4_3/b": [0.010451378060679417, 4.222489740765013, 0xD4AF8A78],
    "g_conv4_2/W": [46.93242211885289, 39209.58526929477, 0x62D3E5AF],
    "g_conv4_2/b": [0.13965658209508547, 4.2365942189107955, 0x8961B11D],
    "g_conv4_1/W": [14.5810701420335, 39234.89631302463, 0x4B7567C9],
    "g_conv4_1/b": [-0.004437965350007289, 4.182341737081515, 0x8F0CCF0B],
    "g_pool3/W": [-8.634914627975697, 19603.77673662871, 0x60F01070],
    "g_pool3/b": [-0.05214704939862713, 2.0369798849133076, 0xC7CB698B],
    "g_conv3_3/W": [-33.19645149225566, 13875.732694848137, 0x20DCBEF4],
    "g_conv3_3/b": [0.10813338919251692, 1.983377778378781, 0x34D11145],
    "g_conv3_2/W": [-17.677708202112193, 13884.336412541645, 0xADA2301D],
    "g_conv3_2/b": [0.21732406866794918, 1.8757768619252602, 0xB5681905],
    "g_conv3_1/W": [-19.9082791588536, 13869.832136913494, 0x20F7507F],
    "g_conv3_1/b": [0.4576114992814837, 2.012791272260074, 0x18B92222],
    "g_pool2/W": [-8.748358340311349, 6921.13908676826, 0x1C55B123],
    "g_pool2/b": [0.24412015414782218, 0.9816171198872325, 0xC3531A88],
    "g_conv2_1/W": [-0.5910585631888239, 4896.285240707175, 0x1E3D349A],
    "g_conv2_1/b": [-0.13174575700395508, 1.0177812920810538, 0x09F5DAAB],
    "g_pool1/W": [7.130247666124376, 2450.4017197436106, 0xB4D57075],
    "g_pool1/b": [0.01594361061870586, 0.4515036078664707, 0x6F4384E7],
    "g_conv1_1/W": [-1.394236123603605, 1735.7413930918224, 0x6ABB532F],
    "g_conv1_1/b": [0.010672511929442408, 0.46423485425839317, 0x8171A364],
    "g_img/W": [-2.761336442104948, 80.76112935094716, 0xEBBB3078],
    "g_img/b": [0.005558687436860055, 0.0073072745581157506, 0xE0B7CD32],
}


def computed():
    """The checksum of every array, by name as in CHECKSUMS."""
    seen = {"image": checksum(image()), "text": checksum(text())}
    for first, layers in ((1000, TEACHER), (2000, STUDENT)):
        for i, (name, shape) in enumerate(layers):
            w, b = layer(first + i, shape)
            seen[f"{name}/W"], seen[f"{name}/b"] = checksum(w), checksum(b)
    return seen


def main():
    seen = computed()
    assert set(seen) == set(CHECKSUMS)
    for key, want in CHECKSUMS.items():
        total, magnitude, crc = seen[key]
        assert abs(magnitude - want[1]) <= 1e-6 * want[1], (key, seen[key], want)
        assert abs(total - want[0]) <= 1e-6 * want[1], (key, seen[key], want)
        exact = "exact" if crc == want[2] else "differs"
        print(f"{key:14s} sum {total: .9e}  |sum| {magnitude: .9e}  crc {crc:08x} {exact}")


if __name__ == "__main__":
    main()
