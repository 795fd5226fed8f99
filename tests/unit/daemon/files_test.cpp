#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "tests/support/process_limits.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {
namespace {

namespace fs = std::filesystem;

std::size_t entries_in(const fs::path& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator{dir}, fs::directory_iterator{}));
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

TEST_CASE("Files: what was written is read back, with the mode asked for and nothing beside it", "[daemon]") {
  const TempDir dir;
  const auto file = dir.path() / "key.pem";
  const std::string content(200'000, 'k');

  REQUIRE(write_file(file, content, 0600));

  REQUIRE(*read_file(file) == content);
  REQUIRE(mode_of(file) == 0600);
  REQUIRE(entries_in(dir.path()) == 1);
}

TEST_CASE("Files: the mode does not depend on the umask", "[daemon]") {
  const TempDir dir;
  const mode_t before = ::umask(0777);
  const auto written = write_file(dir.path() / "ca.pem", "x", 0644);
  ::umask(before);
  REQUIRE(written);
  REQUIRE(mode_of(dir.path() / "ca.pem") == 0644);
}

TEST_CASE("Files: a write that runs out of room leaves the old file and no temporary", "[daemon]") {
  const TempDir dir;
  const auto file = dir.path() / "agent.toml";
  REQUIRE(write_file(file, "old", 0600));
  const std::string large(10'000, 'n');

  std::optional<Result<void>> written;
  {
    const FileSizeLimit full{4096};
    written = write_file(file, large, 0600);
  }

  REQUIRE(written->error().code() == Errc::DiskFull);
  REQUIRE(written->error().message().find("free some space") != std::string::npos);
  REQUIRE(content_of(file) == "old");
  REQUIRE(entries_in(dir.path()) == 1);
}

TEST_CASE("Files: a directory that is missing or may not be written is named in the error", "[daemon]") {
  const TempDir dir;
  const auto missing = write_file(dir.path() / "absent" / "file", "x", 0600);
  REQUIRE(missing.error().code() == Errc::IoFailed);
  REQUIRE(missing.error().message().find("absent/file") != std::string::npos);

  fs::permissions(dir.path(), fs::perms{0555});
  const int refused = in_child_without_privileges([&] {
    const auto written = write_file(dir.path() / "file", "x", 0600);
    return !written && written.error().code() == Errc::IoFailed ? 0 : 1;
  });
  REQUIRE(refused == 0);
}

TEST_CASE("Files: root writes for the owner of the directory", "[daemon]") {
  if (::geteuid() != 0) return;
  const TempDir dir;
  REQUIRE(::chown(dir.path().c_str(), 65534, 65534) == 0);

  REQUIRE(write_file(dir.path() / "forward.toml", "x", 0600));

  struct stat status {};
  REQUIRE(::stat((dir.path() / "forward.toml").c_str(), &status) == 0);
  REQUIRE(status.st_uid == 65534);
  REQUIRE(status.st_gid == 65534);
}

TEST_CASE("Files: a secret that others can read is refused with the command that mends it", "[daemon]") {
  const TempDir dir;
  const auto file = dir.path() / "the site's key.pem";
  REQUIRE(write_file(file, "secret", 0600));
  REQUIRE(*read_secret_file(file) == "secret");

  for (const mode_t mode : {0640, 0620, 0604, 0602}) {
    fs::permissions(file, fs::perms{mode});
    const auto refused = read_secret_file(file);
    REQUIRE(refused.error().code() == Errc::FileUnsafe);
    REQUIRE(refused.error().message().find("chmod 600 '" + dir.path().string() +
                                           "/the site'\\''s key.pem'") != std::string::npos);
  }
}

TEST_CASE("Files: behind a link is the file it leads to; a plain or dangling path stays", "[daemon]") {
  const TempDir dir;
  const auto file = dir.path() / "gateway.toml";
  const auto link = dir.path() / "link.toml";
  fs::create_symlink(file, link);

  REQUIRE(behind_links(link) == link);
  REQUIRE(write_file(file, "", 0600));
  REQUIRE(behind_links(link) == fs::canonical(file));
  REQUIRE(behind_links(file) == file);
}

TEST_CASE("Files: absent, forbidden and misplaced files are told apart", "[daemon]") {
  const TempDir dir;
  REQUIRE(read_file(dir.path() / "absent").error().code() == Errc::NotFound);
  REQUIRE(read_secret_file(dir.path() / "absent").error().code() == Errc::NotFound);
  REQUIRE(read_file(dir.path()).error().code() == Errc::FileUnreadable);

  REQUIRE(write_file(dir.path() / "mine", "x", 0000));
  fs::permissions(dir.path(), fs::perms{0755});
  const int refused = in_child_without_privileges([&] {
    const auto read = read_file(dir.path() / "mine");
    return !read && read.error().code() == Errc::FileUnreadable ? 0 : 1;
  });
  REQUIRE(refused == 0);
}

}  // namespace
}  // namespace culvert
