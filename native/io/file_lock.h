// The kernel's lock on a file, by which a program claims a folder.
#pragma once
#include <optional>
#include <string>

namespace voxgrad::io {

/// Opens (or makes) the file and takes its exclusive lock (flock), without waiting. Returns the descriptor, whose end
/// (or the process's) is the lock's, or nothing if another descriptor holds it. The file at `path` is the locked one,
/// also where another process removed and made it anew meanwhile. Throws Failure(ERR_DISK).
std::optional<int> lock_file(const std::string& path);

}  // namespace voxgrad::io
