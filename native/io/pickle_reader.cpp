// The pickle machine: runs the opcodes of protocols 0 to 5 that plain data need (Python's pickletools documents them).
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <unordered_map>

#include "failure.h"
#include "io/pickle.h"
#include "io/pickle_input.h"
#include "io/pickle_objects.h"

namespace voxgrad::io {

namespace {

using namespace pickle;

class Machine {
 public:
  Machine(std::string_view bytes, const StorageReader& storage) : input_(bytes), objects_(storage, bytes.size()) {}

  size_t position() const { return opcode_at_; }

  Reference run() {
    for (;;) {
      opcode_at_ = input_.position();
      const char opcode = input_.take(1)[0];
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

  Input input_;
  size_t opcode_at_ = 0;
  Objects objects_;
  std::vector<Reference> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Reference> memo_;
};

bool Machine::step_number(char opcode) {
  switch (opcode) {
    case 'N':
      push_new(std::monostate{});
      return true;
    case '\x88':
      push_new(true);
      return true;
    case '\x89':
      push_new(false);
      return true;
    case 'J':
      push_new(int64_t{static_cast<int32_t>(input_.take_number(4))});
      return true;
    case 'K':
      push_new(static_cast<int64_t>(input_.take_number(1)));
      return true;
    case 'M':
      push_new(static_cast<int64_t>(input_.take_number(2)));
      return true;
    case '\x8a':
      push_new(input_.take_long(input_.take_number(1)));
      return true;
    case '\x8b':
      push_new(input_.take_long(input_.take_number(4)));
      return true;
    case 'G': {
      uint64_t bits = 0;
      for (const char byte : input_.take(8)) bits = (bits << 8) | static_cast<uint8_t>(byte);
      push_new(std::bit_cast<double>(bits));
      return true;
    }
    case 'I': {
      // Protocol 0 and 1 spell booleans I00 and I01.
      const std::string_view rest = input_.peek(3);
      if (rest == "00\n" || rest == "01\n") {
        push_new(input_.take_line() == "01");
      } else {
        push_new(input_.take_decimal_line());
      }
      return true;
    }
    case 'L':
      push_new(input_.take_decimal_line());
      return true;
    case 'F': {
      const std::string line = input_.take_line();
      char* end = nullptr;
      const double value = std::strtod(line.c_str(), &end);
      if (line.empty() || end != line.c_str() + line.size()) refuse("a damaged number");
      push_new(value);
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_text(char opcode) {
  switch (opcode) {
    case 'X':
      push_new(Text{input_.take_sized(4)});
      return true;
    case '\x8c':
      push_new(Text{input_.take_sized(1)});
      return true;
    case '\x8d':
      push_new(Text{input_.take_sized(8)});
      return true;
    case 'B':
      push_new(Bytes{input_.take_sized(4)});
      return true;
    case 'C':
      push_new(Bytes{input_.take_sized(1)});
      return true;
    case '\x8e':  // BINBYTES8
    case '\x96':
      push_new(Bytes{input_.take_sized(8)});
      return true;
    case 'V': {
      const std::string line = input_.take_line();
      if (line.find('\\') != std::string::npos) refuse("text with escapes (protocol 0)");
      push_new(Text{line});
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_container(char opcode) {
  switch (opcode) {
    case '(':
      marks_.push_back(stack_.size());
      return true;
    case '0':
      if (stack_.size() > bottom()) {
        stack_.pop_back();
      } else {
        pop_to_mark();
      }
      return true;
    case '1':
      pop_to_mark();
      return true;
    case '2':
      push(top());
      return true;
    case ']':
      push_new(Sequence{false, {}});
      return true;
    case ')':
      push_new(Sequence{true, {}});
      return true;
    case '}':
      push_new(Mapping{false, {}});
      return true;
    case 'l':
      push_new(Sequence{false, pop_to_mark()});
      return true;
    case 't':
      push_new(Sequence{true, pop_to_mark()});
      return true;
    case '\x85':
      push_tuple_of(1);
      return true;
    case '\x86':
      push_tuple_of(2);
      return true;
    case '\x87':
      push_tuple_of(3);
      return true;
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
    case 'e':
      append(pop_to_mark());
      return true;
    case 's': {
      const Reference value = pop(), key = pop();
      set_items_of_top({key, value});
      return true;
    }
    case 'u':
      set_items_of_top(pop_to_mark());
      return true;
    default:
      return false;
  }
}

bool Machine::step_memo(char opcode) {
  switch (opcode) {
    case 'p':
      memo_[static_cast<uint64_t>(input_.take_decimal_line())] = top();
      return true;
    case 'q':
      memo_[input_.take_number(1)] = top();
      return true;
    case 'r':
      memo_[input_.take_number(4)] = top();
      return true;
    case '\x94':
      memo_[memo_.size()] = top();
      return true;
    case 'g':
      get(static_cast<uint64_t>(input_.take_decimal_line()));
      return true;
    case 'h':
      get(input_.take_number(1));
      return true;
    case 'j':
      get(input_.take_number(4));
      return true;
    default:
      return false;
  }
}

void Machine::step(char opcode) {
  if (step_number(opcode) || step_text(opcode) || step_container(opcode) || step_memo(opcode)) return;
  switch (opcode) {
    case '\x80': {
      const uint64_t protocol = input_.take_number(1);
      if (protocol > 5) refuse("pickle protocol " + std::to_string(protocol) + ", newer than 5");
      return;
    }
    case '\x95':
      input_.take_number(8);
      return;  // a frame's length, which matters to streams alone
    case 'c': {
      const std::string module = input_.take_line(), name = input_.take_line();
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
    case 'Q':
      push(objects_.persistent(pop()));
      return;
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
