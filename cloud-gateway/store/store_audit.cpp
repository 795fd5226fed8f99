// The audit log: each entry carries a SHA-256 over itself and the entry before. audit_head repeats the
// newest, so that entries cut off the end are missed too. Somebody who rewrites the whole chain must be
// caught elsewhere: the chain shows a changed row, it cannot show a changed world.
#include <openssl/evp.h>

#include <array>

#include "cloud-gateway/store/database.hpp"
#include "cloud-gateway/store/store.hpp"

namespace culvert {

using soci::into;
using soci::use;

namespace {

struct AuditRow {
  long long seq = 0;
  long long time = 0;
  std::string actor;
  std::string action;
  std::string object;
  std::string detail;
  std::string prev_hash;
  std::string hash;
};

/// Entries read per transaction while verifying, so that others get their turn in between.
constexpr long long kVerifyBatch = 1000;

/// Length before each field: moving a character from one field to the next changes the hash.
void add_field(std::string& text, const std::string& field) {
  text += std::to_string(field.size());
  text += ':';
  text += field;
}

std::string hash_of(const AuditRow& row) {
  std::string text;
  add_field(text, row.prev_hash);
  add_field(text, std::to_string(row.seq));
  add_field(text, std::to_string(row.time));
  add_field(text, row.actor);
  add_field(text, row.action);
  add_field(text, row.object);
  add_field(text, row.detail);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("SHA-256 is not available");
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 0xf];
  }
  return hex;
}

std::vector<AuditRow> rows_after(soci::session& sql, long long seq, long long limit) {
  std::vector<AuditRow> found;
  AuditRow row;
  soci::statement rows =
      (sql.prepare << "SELECT seq, time, actor, action, object, detail, prev_hash, hash FROM audit "
                      "WHERE seq > :seq ORDER BY seq LIMIT :limit",
       use(seq), use(limit), into(row.seq), into(row.time), into(row.actor), into(row.action),
       into(row.object), into(row.detail), into(row.prev_hash), into(row.hash));
  rows.execute();
  while (rows.fetch()) found.push_back(row);
  return found;
}

Error tampered(long long seq, const char* how) {
  return Error{Errc::StoreFailed, "the audit log has been tampered with: entry " + std::to_string(seq) + " " +
                                      how + "; compare with a backup of the store"};
}

/// Checks one batch against `last`, which becomes the last row of it. Returns how many rows there were.
Result<std::uint64_t> verify_batch(soci::session& sql, AuditRow& last) {
  std::uint64_t count = 0;
  for (AuditRow& row : rows_after(sql, last.seq, kVerifyBatch)) {
    if (row.seq != last.seq + 1) return tampered(last.seq + 1, "is missing");
    if (row.prev_hash != last.hash || row.hash != hash_of(row)) return tampered(row.seq, "was changed");
    last = std::move(row);
    ++count;
  }
  if (count < static_cast<std::uint64_t>(kVerifyBatch)) {
    long long head = 0;
    std::string hash;
    sql << "SELECT seq, hash FROM audit_head", into(head), into(hash);
    if (head > last.seq) return tampered(last.seq + 1, "is missing");
    if (head != last.seq || hash != last.hash)
      return tampered(last.seq, "is not the one that was written last");
  }
  return count;
}

}  // namespace

void append_audit_row(soci::session& sql, const Actor& actor, const std::string& action,
                      const std::string& object, const std::string& detail) {
  AuditRow row;
  sql << "SELECT seq, hash FROM audit_head", into(row.seq), into(row.prev_hash);
  row.seq += 1;
  row.time = to_seconds(actor.at);
  row.actor = actor.name;
  row.action = action;
  row.object = object;
  row.detail = detail;
  row.hash = hash_of(row);
  sql << "INSERT INTO audit (seq, time, actor, action, object, detail, prev_hash, hash) "
         "VALUES (:seq, :time, :actor, :action, :object, :detail, :prev_hash, :hash)",
      use(row.seq), use(row.time), use(row.actor), use(row.action), use(row.object), use(row.detail),
      use(row.prev_hash), use(row.hash);
  sql << "UPDATE audit_head SET seq = :seq, hash = :hash", use(row.seq), use(row.hash);
}

Result<void> Store::append_audit(const Actor& actor, const std::string& action, const std::string& object,
                                 const std::string& detail) {
  return impl_->db.transaction("write the audit log", [&](soci::session& sql) -> Result<void> {
    append_audit_row(sql, actor, action, object, detail);
    return {};
  });
}

Result<std::vector<AuditEntry>> Store::list_audit(std::size_t limit) {
  using List = Result<std::vector<AuditEntry>>;
  return impl_->db.transaction("read the audit log", [&](soci::session& sql) -> List {
    long long head = 0;
    sql << "SELECT seq FROM audit_head", into(head);
    const auto wanted = static_cast<long long>(limit);
    std::vector<AuditEntry> entries;
    for (AuditRow& row : rows_after(sql, head > wanted ? head - wanted : 0, wanted))
      entries.push_back({static_cast<std::uint64_t>(row.seq), from_seconds(row.time), std::move(row.actor),
                         std::move(row.action), std::move(row.object), std::move(row.detail)});
    return entries;
  });
}

Result<std::uint64_t> Store::verify_audit() {
  AuditRow last;
  std::uint64_t total = 0;
  for (;;) {
    auto batch = impl_->db.transaction("verify the audit log",
                                       [&](soci::session& sql) { return verify_batch(sql, last); });
    if (!batch) return std::move(batch).error();
    total += *batch;
    if (*batch < static_cast<std::uint64_t>(kVerifyBatch)) return total;
  }
}

}  // namespace culvert
