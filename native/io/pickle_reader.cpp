// The pickle machine: runs the opcodes of protocols 0 to 5 that plain data need (Python's pickletools documents them).
#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <unordered_map>

#include "failure.h"
#include "io/pickle.h"
#include "io/pickle_objects.h"

namespace voxgrad::io {

namespace {

using namespace pickle;

class Machine {
 public:
  Machine(std::string_view bytes, const StorageReader& storage) : bytes_(bytes), objects_(storage) {}

  size_t position() const { return opcode_at_; }

  Reference run() {
    for (;;) {
      opcode_at_ = next_;
      const char opcode = take(1)[0];
      if (opcode == '.') return pop();
      step(opcode);
      // Each opcode takes at least one byte of input; this keeps the memory per byte small.
      if (std::max({stack_.size(), marks_.size(), memo_.size()}) > most_entries) refuse("too many values at once");
    }
  }

 private:
  static constexpr size_t most_entries = 4'000'000;

  void step(char opcode);
  bool step_number(char opcode);
  bool step_text(char opcode);
  bool step_container(char opcode);
  bool step_memo(char opcode);

  std::string_view take(size_t count) {
    if (count > bytes_.size() - next_) refuse("the file ends in the middle of a value");
    const std::string_view part = bytes_.substr(next_, count);
    next_ += count;
    return part;
  }

  /// An unsigned little-endian number of 1 to 8 bytes.
  uint64_t take_number(size_t count) {
    uint64_t value = 0;
    const std::string_view part = take(count);
    for (size_t i = 0; i < count; ++i) value |= uint64_t{static_cast<uint8_t>(part[i])} << (8 * i);
    return value;
  }

  std::string take_sized(size_t length_bytes) { return std::string(take(take_number(length_bytes))); }

  std::string take_line() {
    const size_t end = bytes_.find('\n', next_);
    if (end == std::string_view::npos) refuse("the file ends in the middle of a line");
    std::string line(bytes_.substr(next_, end - next_));
    next_ = end + 1;
    return line;
  }

  int64_t take_decimal_line() {
    std::string line = take_line();
    if (!line.empty() && line.back() == 'L') line.pop_back();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc() || end != line.data() + line.size()) refuse("a number that is no 64-bit integer");
    return value;
  }

  /// A two's complement integer of any length.
  int64_t take_long(uint64_t length) {
    const std::string_view part = take(length);
    const bool is_negative = length > 0 && (part[length - 1] & 0x80) != 0;
    uint64_t value = is_negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < length; ++i) {
      const uint8_t byte = static_cast<uint8_t>(part[i]);
      if (i < 8) {
        value = (value & ~(uint64_t{0xff} << (8 * i))) | (uint64_t{byte} << (8 * i));
      } else if (byte != (is_negative ? 0xff : 0)) {
        refuse("an integer beyond 64 bits");
      }
    }
    if (length > 8 && (value >> 63 != 0) != is_negative) refuse("an integer beyond 64 bits");
    return static_cast<int64_t>(value);
  }

  void push(Reference object) { stack_.push_back(object); }
  template <class Data>
  void push_new(Data&& data) {
    push(objects_.make(std::forward<Data>(data)));
  }

  size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }

  Reference pop() {
    if (stack_.size() <= bottom()) refuse("an opcode without its operand");
    const Reference object = stack_.back();
    stack_.pop_back();
    return object;
  }

  Reference& top() {
    if (stack_.size() <= bottom()) refuse("an opcode without its operand");
    return stack_.back();
  }

  std::vector<Reference> pop_to_mark() {
    if (marks_.empty()) refuse("an opcode without its mark");
    std::vector<Reference> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  void push_tuple_of(size_t count) {
    std::vector<Reference> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push_new(Sequence{true, std::move(items)});
  }

  void append(const std::vector<Reference>& items) {
    auto* list = std::get_if<Sequence>(&top()->data);
    if (list == nullptr || list->is_tuple) refuse("an append to something that is no list");
    list->items.insert(list->items.end(), items.begin(), items.end());
  }

  static void set_items(Mapping& mapping, const std::vector<Reference>& items) {
    if (items.size() % 2 != 0) refuse("a dict with a key without value");
    for (size_t i = 0; i < items.size(); i += 2) mapping.items.emplace_back(items[i], items[i + 1]);
  }

  void set_items_of_top(const std::vector<Reference>& items) {
    auto* mapping = std::get_if<Mapping>(&top()->data);
    if (mapping == nullptr) refuse("a key set on something that is no dict");
    set_items(*mapping, items);
  }

  void get(uint64_t key) {
    const auto entry = memo_.find(key);
    if (entry == memo_.end()) refuse("a reference to a value that was not stored");
    push(entry->second);
  }

  std::string text_operand() {
    const Reference object = pop();
    const auto* text = std::get_if<Text>(&object->data);
    if (text == nullptr) refuse("expected text");
    return text->text;
  }

  std::string_view bytes_;
  size_t next_ = 0;
  size_t opcode_at_ = 0;
  Objects objects_;
  std::vector<Reference> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Reference> memo_;
};

bool Machine::step_number(char opcode) {
  switch (opcode) {
    case 'N': push_new(std::monostate{}); return true;
    case '\x88': push_new(true); return true;
    case '\x89': push_new(false); return true;
    case 'J': push_new(int64_t{static_cast<int32_t>(take_number(4))}); return true;
    case 'K': push_new(static_cast<int64_t>(take_number(1))); return true;
    case 'M': push_new(static_cast<int64_t>(take_number(2))); return true;
    case '\x8a': push_new(take_long(take_number(1))); return true;
    case '\x8b': push_new(take_long(take_number(4))); return true;
    case 'G': {
      uint64_t bits = 0;
      for (const char byte : take(8)) bits = (bits << 8) | static_cast<uint8_t>(byte);
      push_new(std::bit_cast<double>(bits));
      return true;
    }
    case 'I': {
      // Protocol 0 and 1 spell booleans I00 and I01.
      const std::string_view rest = bytes_.substr(next_, 3);
      if (rest == "00\n" || rest == "01\n") {
        push_new(take_line() == "01");
      } else {
        push_new(take_decimal_line());
      }
      return true;
    }
    case 'L': push_new(take_decimal_line()); return true;
    case 'F': {
      const std::string line = take_line();
      char* end = nullptr;
      const double value = std::strtod(line.c_str(), &end);
      if (line.empty() || end != line.c_str() + line.size()) refuse("a damaged number");
      push_new(value);
      return true;
    }
    default: return false;
  }
}

bool Machine::step_text(char opcode) {
  switch (opcode) {
    case 'X': push_new(Text{take_sized(4)}); return true;
    case '\x8c': push_new(Text{take_sized(1)}); return true;
    case '\x8d': push_new(Text{take_sized(8)}); return true;
    case 'B': push_new(Bytes{take_sized(4)}); return true;
    case 'C': push_new(Bytes{take_sized(1)}); return true;
    case '\x8e':  // BINBYTES8
    case '\x96': push_new(Bytes{take_sized(8)}); return true;
    case 'V': {
      const std::string line = take_line();
      if (line.find('\\') != std::string::npos) refuse("text with escapes (protocol 0)");
      push_new(Text{line});
      return true;
    }
    default: return false;
  }
}

bool Machine::step_container(char opcode) {
  switch (opcode) {
    case '(': marks_.push_back(stack_.size()); return true;
    case '0':
      if (stack_.size() > bottom()) {
        stack_.pop_back();
      } else {
        pop_to_mark();
      }
      return true;
    case '1': pop_to_mark(); return true;
    case '2': push(top()); return true;
    case ']': push_new(Sequence{false, {}}); return true;
    case ')': push_new(Sequence{true, {}}); return true;
    case '}': push_new(Mapping{false, {}}); return true;
    case 'l': push_new(Sequence{false, pop_to_mark()}); return true;
    case 't': push_new(Sequence{true, pop_to_mark()}); return true;
    case '\x85': push_tuple_of(1); return true;
    case '\x86': push_tuple_of(2); return true;
    case '\x87': push_tuple_of(3); return true;
    case 'd': {
      Mapping mapping{false, {}};
      set_items(mapping, pop_to_mark());
      push_new(std::move(mapping));
      return true;
    }
    case 'a': {
      const Reference item = pop();
      append({item});
      return true;
    }
    case 'e': append(pop_to_mark()); return true;
    case 's': {
      const Reference value = pop(), key = pop();
      set_items_of_top({key, value});
      return true;
    }
    case 'u': set_items_of_top(pop_to_mark()); return true;
    default: return false;
  }
}

bool Machine::step_memo(char opcode) {
  switch (opcode) {
    case 'p': memo_[static_cast<uint64_t>(take_decimal_line())] = top(); return true;
    case 'q': memo_[take_number(1)] = top(); return true;
    case 'r': memo_[take_number(4)] = top(); return true;
    case '\x94': memo_[memo_.size()] = top(); return true;
    case 'g': get(static_cast<uint64_t>(take_decimal_line())); return true;
    case 'h': get(take_number(1)); return true;
    case 'j': get(take_number(4)); return true;
    default: return false;
  }
}

void Machine::step(char opcode) {
  if (step_number(opcode) || step_text(opcode) || step_container(opcode) || step_memo(opcode)) return;
  switch (opcode) {
    case '\x80': {
      const uint64_t protocol = take_number(1);
      if (protocol > 5) refuse("pickle protocol " + std::to_string(protocol) + ", newer than 5");
      return;
    }
    case '\x95': take_number(8); return;  // a frame's length, which matters to streams alone
    case 'c': {
      const std::string module = take_line(), name = take_line();
      push(objects_.global(module, name));
      return;
    }
    case '\x93': {
      const std::string name = text_operand(), module = text_operand();
      push(objects_.global(module, name));
      return;
    }
    case 'R': {
      const Reference arguments = pop(), function = pop();
      push(objects_.call(function, arguments));
      return;
    }
    case 'b': {
      const Reference state = pop();
      objects_.set_state(top(), state);
      return;
    }
    case 'Q': push(objects_.persistent(pop())); return;
    default: {
      char code[8];
      std::snprintf(code, sizeof(code), "0x%02x", static_cast<unsigned>(static_cast<uint8_t>(opcode)));
      refuse(std::string("the opcode ") + code + ", which plain data do not need");
    }
  }
}

}  // namespace

Value read_pickle(std::string_view bytes, const std::string& origin, const StorageReader& storage) {
  Machine machine(bytes, storage);
  try {
    return pickle::to_value(machine.run(), bytes.size());
  } catch (const pickle::Refusal& refusal) {
    throw Failure("ERR_FORMAT", "cannot read " + origin + " (pickle, byte " + std::to_string(machine.position()) +
                                    "): " + refusal.reason);
  }
}

}  // namespace voxgrad::io
