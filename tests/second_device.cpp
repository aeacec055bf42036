// A device for PyTorch whose memory is ordinary memory and whose operators are the CPU's, so that
// mixing it with the CPU is an error, as on a GPU. Like Apple's GPUs it knows no float64.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

using c10::DeviceType;
using c10::IntArrayRef;
constexpr DeviceType kSecond = DeviceType::PrivateUse1;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr DeviceType static_type = kSecond;
  DeviceType type() const override { return kSecond; }
  c10::Device exchangeDevice(c10::Device) const override { return c10::Device(kSecond, 0); }
  c10::Device getDevice() const override { return c10::Device(kSecond, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override {
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(kSecond, 0));
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag)
      const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* place = bytes ? malloc(bytes) : nullptr;
    return {place, place, &free, c10::Device(kSecond, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    memcpy(to, from, bytes);
  }
};
Memory memory;
REGISTER_ALLOCATOR(DeviceType::PrivateUse1, &memory);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
};

at::ScalarType known(std::optional<at::ScalarType> type) {
  at::ScalarType found = type.value_or(at::kFloat);
  TORCH_CHECK_TYPE(found != at::kDouble, "the second device knows no float64, as Apple's GPUs");
  return found;
}

at::Tensor empty(
    IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
    std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_generic(size, &memory, keys, known(type), format);
}

at::Tensor empty_strided(
    IntArrayRef size, IntArrayRef stride, std::optional<at::ScalarType> type,
    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_strided_generic(size, stride, &memory, keys, known(type));
}

// The same memory, as the CPU sees it.
at::Tensor as_cpu(const at::Tensor& t) {
  if (!t.is_privateuseone()) return t;
  return at::from_blob(
      t.data_ptr(), t.sizes(), t.strides(), [t](void*) {}, t.options().device(at::kCPU));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  if (to.numel()) as_cpu(to).copy_(as_cpu(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

const at::Tensor& resize(
    const at::Tensor& t, IntArrayRef size, std::optional<at::MemoryFormat>) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  auto fresh = at::detail::empty_generic(size, &memory, keys, t.scalar_type(), std::nullopt);
  t.unsafeGetTensorImpl()->set_storage_keep_dtype(fresh.storage());
  t.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  return t;
}

void same_device(const at::Tensor& x, const at::Tensor& other) {
  TORCH_CHECK(
      !other.defined() || other.device() == x.device(),
      "Expected all tensors to be on the same device, found ", x.device(), " and ",
      other.device());
}

at::Tensor convolution(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation,
    bool transposed, c10::SymIntArrayRef output_padding, c10::SymInt groups) {
  same_device(x, weight);
  std::optional<at::Tensor> own;
  if (bias && bias->defined()) {
    same_device(x, *bias);
    own = as_cpu(*bias);
  }
  return at::convolution_symint(
             as_cpu(x), as_cpu(weight), own, stride, padding, dilation, transposed,
             output_padding, groups)
      .to(x.device());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
    c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation,
    bool transposed, c10::SymIntArrayRef output_padding, c10::SymInt groups,
    std::array<bool, 3> mask) {
  same_device(x, weight);
  same_device(x, gradient);
  auto [dx, dw, db] = at::convolution_backward_symint(
      as_cpu(gradient), as_cpu(x), as_cpu(weight),
      c10::SymIntArrayRef({weight.sym_size(0)}), stride, padding, dilation, transposed,
      output_padding, groups, mask);
  auto back = [&](const at::Tensor& t) { return t.defined() ? t.to(x.device()) : t; };
  return {back(dx), back(dw), back(db)};
}

// The fallback would lose the running statistics, which the schema does not name as changed.
std::tuple<at::Tensor, at::Tensor, at::Tensor> batch_norm(
    const at::Tensor& x, const std::optional<at::Tensor>& weight,
    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& running_mean,
    const std::optional<at::Tensor>& running_variance, bool training, double momentum,
    double epsilon) {
  auto here = [&](const std::optional<at::Tensor>& t) -> std::optional<at::Tensor> {
    if (!t || !t->defined()) return std::nullopt;
    same_device(x, *t);
    return as_cpu(*t);
  };
  auto [out, mean, inverse] = at::native_batch_norm(
      as_cpu(x), here(weight), here(bias), here(running_mean), here(running_variance), training,
      momentum, epsilon);
  return {out.to(x.device()), mean.to(x.device()), inverse.to(x.device())};
}

// PyTorch asks accelerators for a whole GRU cell. Gates: reset, update, new.
std::tuple<at::Tensor, at::Tensor> gru_cell(
    const at::Tensor& from_input, const at::Tensor& from_hidden, const at::Tensor& hidden,
    const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  same_device(from_input, from_hidden);
  same_device(from_input, hidden);
  auto with_bias = [](const at::Tensor& gates, const std::optional<at::Tensor>& bias) {
    return (bias && bias->defined() ? as_cpu(gates) + as_cpu(*bias) : as_cpu(gates)).chunk(3, 1);
  };
  auto a = with_bias(from_input, input_bias), b = with_bias(from_hidden, hidden_bias);
  const at::Tensor h = as_cpu(hidden);
  const at::Tensor reset = at::sigmoid(a[0] + b[0]), update = at::sigmoid(a[1] + b[1]);
  const at::Tensor fresh = at::tanh(a[2] + reset * b[2]);
  const at::Tensor kept = at::cat({reset, update, fresh, h, b[2]}, 1);
  return {at::Tensor(fresh + update * (h - fresh)).to(hidden.device()), kept.to(hidden.device())};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> gru_cell_backward(
    const at::Tensor& gradient, const at::Tensor& kept, bool has_bias) {
  same_device(gradient, kept);
  const auto k = as_cpu(kept).chunk(5, 1);
  const at::Tensor reset = k[0], update = k[1], fresh = k[2], h = k[3], g = as_cpu(gradient);
  const at::Tensor d_fresh = g * (1 - update) * (1 - fresh * fresh);
  const at::Tensor d_update = g * (h - fresh) * update * (1 - update);
  const at::Tensor d_reset = d_fresh * k[4] * reset * (1 - reset);
  const at::Tensor input = at::cat({d_reset, d_update, d_fresh}, 1);
  const at::Tensor hidden = at::cat({d_reset, d_update, d_fresh * reset}, 1);
  auto back = [&](const at::Tensor& t) { return t.to(gradient.device()); };
  at::Tensor none;
  return {
      back(input), back(hidden), back(g * update), has_bias ? back(input.sum(0)) : none,
      has_bias ? back(hidden.sum(0)) : none};
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  at::native::cpu_fallback(op, stack, false);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", [](const at::Tensor& t) { return as_cpu(t).item(); });
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", [](const at::Tensor& t, IntArrayRef size) { return at::native::view(t, size); });
  m.impl("_reshape_alias", [](const at::Tensor& t, IntArrayRef size, IntArrayRef stride) {
    return at::native::_reshape_alias(t, size, stride);
  });
  m.impl("resize_", resize);
  m.impl("set_.source_Storage", [](at::Tensor& t, at::Storage s) -> at::Tensor& {
    return at::native::set_(t, s);
  });
  m.impl(
      "set_.source_Storage_storage_offset",
      [](at::Tensor& t, at::Storage s, int64_t offset, IntArrayRef size, IntArrayRef stride)
          -> at::Tensor& { return at::native::set_storage_cpu_(t, s, offset, size, stride); });
  m.impl("native_batch_norm", batch_norm);
  m.impl("_thnn_fused_gru_cell", gru_cell);
  m.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

}  // namespace

extern "C" void register_second_device() {
  static auto* hooks = new Hooks();
  at::RegisterPrivateUse1HooksInterface(hooks);
}
