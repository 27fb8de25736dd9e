// The noise field: its op, and the same composed of ATen's ops as an independent check. Also Philox blocks, for tests.
#include "kernels/normal_field.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "kernels/launch.h"
#include "kernels/ops.h"

namespace voxgrad {

namespace {
/// A Draw from the words that fix it: key (2), purpose and sample, step (2).
Draw draw_of(at::IntArrayRef words) {
  TORCH_CHECK(words.size() == 5, "expected the 5 words of an addressed stream, found ", words.size());
  const auto word = [&](int i) { return static_cast<uint64_t>(words[i]) & 0xFFFFFFFFu; };
  Address address{word(1) << 32 | word(0), word(4) << 32 | word(3), static_cast<uint32_t>(word(2) & 0xFFFF)};
  return Draw(address, static_cast<Purpose>(word(2) >> 16));
}

void add_normal_field_kernel(const at::Tensor& values, double standard_deviation, at::IntArrayRef words) {
  add_normal_field(values, standard_deviation, draw_of(words));
}

/// Philox4x32-10 on int64 tensors that hold 32-bit words: products wrap as unsigned 64-bit numbers would.
std::array<at::Tensor, 4> philox_composed(std::array<at::Tensor, 4> counter, int64_t key0, int64_t key1) {
  constexpr int64_t kWord = 0xFFFFFFFF;
  for (int round = 0; round < 10; ++round) {
    const at::Tensor product0 = counter[0] * int64_t{0xD2511F53}, product1 = counter[2] * int64_t{0xCD9E8D57};
    counter = {product1.__rshift__(32).bitwise_and_(kWord).bitwise_xor_(counter[1]).bitwise_xor_(key0),
               product1.bitwise_and(kWord),
               product0.__rshift__(32).bitwise_and_(kWord).bitwise_xor_(counter[3]).bitwise_xor_(key1),
               product0.bitwise_and(kWord)};
    key0 = (key0 + 0x9E3779B9) & kWord;
    key1 = (key1 + 0xBB67AE85) & kWord;
  }
  return counter;
}

void add_normal_field_composed(const at::Tensor& values, double standard_deviation, at::IntArrayRef words) {
  const int64_t count = values.numel();
  const at::Tensor index = at::arange((count + 3) / 4, values.options().dtype(at::kLong));
  const auto constant = [&](int i) { return at::full_like(index, words[i] & 0xFFFFFFFF); };
  const auto block = philox_composed({index, constant(2), constant(3), constant(4)}, words[0], words[1]);
  const auto uniform = [&](int i) { return block[i].__rshift__(8).to(at::kFloat).mul_(0x1.0p-24); };
  std::vector<at::Tensor> normal;
  for (int pair = 0; pair < 2; ++pair) {
    const at::Tensor radius = uniform(2 * pair).add_(0x1.0p-24).log_().mul_(-2).sqrt_();
    const at::Tensor angle = uniform(2 * pair + 1).mul_(6.283185307179586);
    normal.push_back(radius * angle.cos());
    normal.push_back(radius * angle.sin());
  }
  const at::Tensor field = at::stack(normal, 1).flatten().narrow(0, 0, count).view(values.sizes());
  at::Tensor(values).add_(field, standard_deviation);
}

at::Tensor philox_block(at::IntArrayRef counter, at::IntArrayRef key) {
  TORCH_CHECK(counter.size() == 4 && key.size() == 2, "philox_block: expected 4 counter words and 2 key words");
  const auto word = [](int64_t value) { return static_cast<uint32_t>(value); };
  const PhiloxBlock block =
      philox({word(counter[0]), word(counter[1]), word(counter[2]), word(counter[3])}, word(key[0]), word(key[1]));
  at::Tensor result = at::empty({4}, at::kLong);
  for (int i = 0; i < 4; ++i) result.data_ptr<int64_t>()[i] = block[i];
  return result;
}
}  // namespace

void add_normal_field(const at::Tensor& values, double standard_deviation, const Draw& draw,
                      const std::array<bool, 3>& flip) {
  TORCH_CHECK(values.is_contiguous(), "add_normal_field: the tensor must be contiguous");
  AddNormalField kernel{values.data_ptr<float>(), values.numel(), draw, static_cast<float>(standard_deviation), {}, {}};
  for (int64_t axis = 0; axis < 3; ++axis) {
    kernel.extents[axis] = values.dim() >= 3 - axis ? values.size(values.dim() - 3 + axis) : 1;
    kernel.flip[axis] = flip[static_cast<size_t>(axis)];
  }
  launch(values.device(), (kernel.count + 3) / 4, kernel, 1024);
}

TORCH_LIBRARY_IMPL(voxgrad, CompositeExplicitAutograd, m) { m.impl("add_normal_field_", add_normal_field_kernel); }
TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) {
  m.impl("add_normal_field_composed_", add_normal_field_composed);
  m.impl("philox_block", philox_block);
}

}  // namespace voxgrad
