#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <optional>

#include "tests/support/process_limits.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/data_dir.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {
namespace {

namespace fs = std::filesystem;

TEST_CASE("Data directory: it is created with its parents and is for its owner only", "[daemon]") {
  const TempDir dir;
  const auto data = dir.path() / "var" / "lib" / "culvert";

  REQUIRE(create_data_dir(data.string() + "/"));

  REQUIRE((fs::status(data).permissions() & fs::perms::mask) == fs::perms::owner_all);
}

TEST_CASE("Data directory: an empty one is accepted and closed to others", "[daemon]") {
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms{0755});
  fs::create_directory(dir.path() / "lost+found");

  REQUIRE(create_data_dir(dir.path()));

  REQUIRE((fs::status(dir.path()).permissions() & fs::perms::mask) == fs::perms::owner_all);
}

TEST_CASE("Data directory: one in use is refused and not touched", "[daemon]") {
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms{0755});
  REQUIRE(write_file(dir.path() / "agent.toml", "x", 0600));

  const auto created = create_data_dir(dir.path());

  REQUIRE(created.error().code() == Errc::AlreadyExists);
  REQUIRE(created.error().message().find("agent.toml") != std::string::npos);
  REQUIRE((fs::status(dir.path()).permissions() & fs::perms::mask) == fs::perms{0755});
  REQUIRE(create_data_dir(dir.path() / "agent.toml").error().code() == Errc::AlreadyExists);
}

TEST_CASE("Data directory: where nothing may be created, the error names the place", "[daemon]") {
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms{0555});
  const int refused = in_child_without_privileges([&] {
    const auto created = create_data_dir(dir.path() / "a" / "b");
    return !created && created.error().code() == Errc::IoFailed ? 0 : 1;
  });
  REQUIRE(refused == 0);
}

TEST_CASE("Data directory lock: the second holder is refused with the number of the first", "[daemon]") {
  const TempDir dir;
  const auto first = DataDirLock::acquire(dir.path());
  REQUIRE(first);

  const auto second = DataDirLock::acquire(dir.path());

  REQUIRE(second.error().code() == Errc::InUse);
  REQUIRE(second.error().message().find("process " + std::to_string(::getpid())) != std::string::npos);
}

TEST_CASE("Data directory lock: it ends with its holder, moved or not", "[daemon]") {
  const TempDir dir;
  {
    auto first = DataDirLock::acquire(dir.path());
    REQUIRE(first);
    const DataDirLock moved = *std::move(first);
    REQUIRE(DataDirLock::acquire(dir.path()).error().code() == Errc::InUse);
  }
  REQUIRE(DataDirLock::acquire(dir.path()));
}

TEST_CASE("Data directory lock: a killed process leaves none behind", "[daemon]") {
  const TempDir dir;
  int ready[2];
  REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = DataDirLock::acquire(dir.path());
    if (!lock || ::write(ready[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  const auto refused = DataDirLock::acquire(dir.path());

  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);

  REQUIRE(refused.error().message().find("process " + std::to_string(child)) != std::string::npos);
  REQUIRE(DataDirLock::acquire(dir.path()));
}

TEST_CASE("Data directory lock: the next holder removes the half-written files of a killed one", "[daemon]") {
  const TempDir dir;
  fs::create_directory(dir.path() / "forwards.d");
  const auto abandoned = dir.path() / "forwards.d" / "db.toml.tmp-a1B2c3";
  const auto kept = dir.path() / "forwards.d" / "notes.tmp-x";
  const auto being_written = dir.path() / "site.pem.tmp-d4E5f6";
  for (const auto& path : {abandoned, kept, being_written}) REQUIRE(write_file(path, "half", 0600));
  const UniqueFd writer{::open(being_written.c_str(), O_RDONLY | O_CLOEXEC)};
  REQUIRE(::flock(writer.value(), LOCK_EX) == 0);

  REQUIRE(DataDirLock::acquire(dir.path()));

  REQUIRE_FALSE(fs::exists(abandoned));
  REQUIRE(fs::exists(kept));
  REQUIRE(fs::exists(being_written));
}

TEST_CASE("Data directory lock: a directory that others can write to is refused, with what mends it",
          "[daemon]") {
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms::group_write, fs::perm_options::add);

  const auto refused = DataDirLock::acquire(dir.path());

  REQUIRE(refused.error().code() == Errc::FileUnsafe);
  REQUIRE(refused.error().message().find("chmod 700 " + dir.path().string()) != std::string::npos);
}

TEST_CASE("Data directory lock: it is not led away by a symbolic link", "[daemon]") {
  const TempDir dir;
  REQUIRE(DataDirLock::acquire(dir.path() / "absent").error().code() == Errc::NotFound);
  const auto victim = dir.path() / "victim";
  REQUIRE(write_file(victim, "precious", 0600));
  fs::create_symlink(victim, dir.path() / "lock");

  REQUIRE(DataDirLock::acquire(dir.path()).error().code() == Errc::IoFailed);

  REQUIRE(content_of(victim) == "precious");
}

}  // namespace
}  // namespace culvert
