#include <catch2/catch.hpp>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "firewall-vib/depot_answer.hpp"
#include "firewall-vib/depot_revision.hpp"
#include "firewall-vib/depot_server.hpp"
#include "firewall-vib/depot_tree.hpp"
#include "firewall-vib/install_guide.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/daemon/files.hpp"

using namespace culvert;
using namespace culvert::firewall;
using boost::asio::ip::tcp;
using Catch::Contains;

namespace {

const std::string kText = "0123456789";

DepotFiles files() {
  return DepotFiles{{{"index.xml", kText}, {"vib20/n/v.vib", std::string("\0\1\2", 3)}}};
}

DepotRequest get(std::string_view target) {
  DepotRequest request;
  request.method = "GET";
  request.target = target;
  request.host = "agent";
  return request;
}

DepotAnswer answer(const DepotRequest& request, bool in_tunnel = false) {
  return answer_depot(files(), request, {"192.0.2.1", 80}, in_tunnel);
}

std::string header(const DepotAnswer& answer, std::string_view name) {
  for (const auto& [key, value] : answer.headers) {
    if (key == name) return value;
  }
  return {};
}

std::string body(const DepotAnswer& answer) {
  return answer.content->substr(answer.first, answer.length);
}

/// What a server on loopback says to these bytes until it closes.
std::string said(std::uint16_t port, const std::string& request) {
  boost::asio::io_context io;
  tcp::socket socket{io};
  socket.connect({boost::asio::ip::address_v4::loopback(), port});
  boost::asio::write(socket, boost::asio::buffer(request));
  std::string answer;
  boost::system::error_code end;
  boost::asio::read(socket, boost::asio::dynamic_buffer(answer), end);
  return answer;
}

}  // namespace

TEST_CASE("Depot: a file comes whole, with its type, length and tag", "[vib][depot]") {
  const DepotAnswer index = answer(get("/index.xml?x=1"));
  CHECK(index.status == 200);
  CHECK(body(index) == kText);
  CHECK_THAT(header(index, "Content-Type"), Contains("text/xml"));
  CHECK(header(index, "Accept-Ranges") == "bytes");
  CHECK(header(answer(get("/vib20/n/v.vib")), "Content-Type") == "application/octet-stream");
  CHECK(answer(get("http://agent/index.xml")).status == 200);

  DepotRequest again = get("/index.xml");
  const std::string etag = header(index, "ETag");
  again.if_none_match = etag;
  CHECK(answer(again).status == 304);
  CHECK_FALSE(answer(again).with_body);
  DepotRequest head = get("/index.xml");
  head.method = "HEAD";
  CHECK(answer(head).length == kText.size());
  CHECK_FALSE(answer(head).with_body);
}

TEST_CASE("Depot: nothing but its own files can be asked for", "[vib][depot]") {
  for (const char* target :
       {"/", "", "*", "/index.xml/", "/../index.xml", "/%69ndex.xml", "//index.xml", "/etc/passwd", "/vib20",
        "/vib20/n/../n/v.vib", "index.xml", "http://agent", "https://agent/index.xml"}) {
    CHECK(answer(get(target)).status == 404);
  }
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "PROPFIND"}) {
    DepotRequest request = get("/index.xml");
    request.method = method;
    CHECK(answer(request).status == 405);
    CHECK(header(answer(request), "Allow") == "GET, HEAD");
  }
  DepotRequest no_host = get("/index.xml");
  no_host.host = {};
  CHECK(answer(no_host).status == 400);
  no_host.http11 = false;
  CHECK(answer(no_host).status == 200);
}

TEST_CASE("Depot: one range of bytes is served, others are ignored or refused", "[vib][depot]") {
  const auto ranged = [](const char* range) {
    DepotRequest request = get("/index.xml");
    request.range = range;
    return answer(request);
  };
  const std::vector<std::tuple<const char*, std::string, std::string>> parts{
      {"bytes=0-0", "0", "bytes 0-0/10"},      {"bytes=2-5", "2345", "bytes 2-5/10"},
      {"bytes=8-", "89", "bytes 8-9/10"},      {"bytes=-3", "789", "bytes 7-9/10"},
      {"bytes=5-99", "56789", "bytes 5-9/10"}, {"bytes=-99", kText, "bytes 0-9/10"}};
  for (const auto& [range, text, told] : parts) {
    const DepotAnswer part = ranged(range);
    CHECK(part.status == 206);
    CHECK(body(part) == text);
    CHECK(header(part, "Content-Range") == told);
  }
  for (const char* range : {"bytes=10-", "bytes=99-100", "bytes=-0"}) {
    CHECK(ranged(range).status == 416);
    CHECK(header(ranged(range), "Content-Range") == "bytes */10");
  }
  for (const char* range : {"bytes=5-2", "bytes=a-b", "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=-",
                            "bytes=99999999999999999999-", "bytes"}) {
    CHECK(ranged(range).status == 200);
    CHECK(body(ranged(range)) == kText);
  }
  DepotRequest changed = get("/index.xml");
  changed.range = "bytes=2-5";
  changed.if_range = "\"other\"";
  CHECK(answer(changed).status == 200);
  const std::string etag = header(answer(get("/index.xml")), "ETag");
  changed.if_range = etag;
  CHECK(answer(changed).status == 206);
}

TEST_CASE("Depot: CONNECT leads to the depot itself and nowhere else", "[vib][depot]") {
  const auto connect = [](const char* target, bool in_tunnel = false) {
    DepotRequest request = get(target);
    request.method = "CONNECT";
    return answer(request, in_tunnel);
  };
  for (const char* own : {"192.0.2.1:80", "agent.example.net:80"}) {
    const DepotAnswer granted = connect(own);
    CHECK(granted.status == 200);
    CHECK(granted.tunnel);
    CHECK(granted.headers.empty());
    CHECK(granted.content == nullptr);
  }
  for (const char* other : {"192.0.2.2:80", "192.0.2.1:443", "[2001:db8::1]:80", "agent:22", ":80"})
    CHECK(connect(other).status == 403);
  for (const char* nonsense : {"agent", "agent:", "agent:x", ""}) CHECK(connect(nonsense).status == 400);
  CHECK(connect("192.0.2.1:80", true).status == 400);
}

TEST_CASE("Depot server: CONNECT is answered without length and encoding, and the tunnel works",
          "[vib][depot]") {
  DepotServer server{{0, {"127.0.0.1"}}, {{"index.xml", kText}}};
  REQUIRE(server.state().serving);
  const std::uint16_t port = server.state().port;
  const std::string answer =
      said(port, "CONNECT 127.0.0.1:" + std::to_string(port) + " HTTP/1.1\r\nHost: a\r\n\r\n" +
                     "GET /index.xml HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::size_t end = answer.find("\r\n\r\n");
  REQUIRE(end != std::string::npos);
  CHECK(answer.substr(0, end) == "HTTP/1.1 200 Connection established");
  CHECK(answer.substr(answer.size() - kText.size()) == kText);
  CHECK_THAT(answer, Contains("Content-Length: 10"));
}

TEST_CASE("Depot server: hostile requests end their own connection alone", "[vib][depot][hostile]") {
  DepotServer server{{0, {"127.0.0.1"}}, {{"index.xml", kText}}};
  const std::uint16_t port = server.state().port;
  for (const std::string& request :
       {std::string{"nonsense\r\n\r\n"},
        "GET /index.xml HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'x') + "\r\n\r\n",
        std::string{"GET /index.xml HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"},
        std::string{"GET / HTTP/9.9\r\n\r\n"},
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n"}) {
    const std::string answer = said(port, request);
    CHECK((answer.empty() || answer.find("HTTP/1.1 400") == 0));
  }
  CHECK_THAT(said(port, "GET /index.xml HTTP/1.0\r\n\r\n"), Contains("200 OK") && Contains(kText));
}

TEST_CASE("Depot server: new files are served at once, and a taken port is said", "[vib][depot]") {
  DepotServer server{{0, {"127.0.0.1"}}, {{"index.xml", kText}}};
  const std::uint16_t port = server.state().port;
  server.replace({{"index.xml", "new"}});
  const std::string answer = said(port, "GET /index.xml HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  CHECK_THAT(answer, Contains("\r\n\r\nnew"));
  const DepotServer second{{port, {"127.0.0.1"}}, {{"index.xml", kText}}};
  CHECK_FALSE(second.state().serving);
  CHECK_THAT(second.state().error, Contains("in use") && Contains("[depot] port"));
}

TEST_CASE("Depot server: a port that becomes free is taken", "[vib][depot]") {
  auto first = std::make_unique<DepotServer>(DepotListen{0, {"127.0.0.1"}}, std::vector<Member>{});
  const DepotServer second{{first->state().port, {"127.0.0.1"}}, {}, std::chrono::milliseconds{10}};
  CHECK_FALSE(second.state().serving);
  first.reset();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  while (!second.state().serving && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK(second.state().serving);
}

TEST_CASE("Depot: the revision rises with each change of the ports and is kept", "[vib][depot]") {
  const TempDir dir;
  const auto file = dir.path() / "depot.json";
  const auto ports = [](const char* text) { return parse_ports(text).value(); };
  CHECK(revision_for(file, ports("80")).value() == 1);
  CHECK_FALSE(std::filesystem::exists(file));
  CHECK(keep_revision(file, ports("80")).value() == 1);
  CHECK(keep_revision(file, ports("80")).value() == 1);
  CHECK(keep_revision(file, ports("81")).value() == 2);
  CHECK(keep_revision(file, ports("80")).value() == 3);
  CHECK(revision_for(file, ports("80")).value() == 3);
  for (const char* broken :
       {"", "{", "[]", "{\"revision\": -1, \"ports\": \"\"}", "{\"revision\": 1}", "{\"revision\":\"1\"}"}) {
    REQUIRE(write_file(file, broken, 0600));
    CHECK_THAT(keep_revision(file, ports("80")).error().text(), Contains("depot.json"));
    CHECK(read_file(file).value() == broken);
  }
}

TEST_CASE("Guide: it knows when no VIB is needed, and how to do without a depot", "[vib][depot]") {
  GuideFacts facts{"agent",  80, true, parse_ports("10000-10010,31031").value(), parse_ports("31031").value(),
                   "0.1.0-7"};
  CHECK_FALSE(install_guide(facts).vib_needed);
  CHECK(install_guide(facts).vib_url == "http://agent/culvert-firewall.vib");
  facts.forwards = parse_ports("10000,31031").value();
  CHECK(install_guide(facts).vib_needed);
  facts.host = "2001:db8::1";
  facts.depot_port = 8080;
  CHECK(install_guide(facts).depot_url == "http://[2001:db8::1]:8080/index.xml");
  // A host's own firewall lets it fetch from ports 80 and 443 alone.
  CHECK_THAT(install_guide(facts).download.front(), Contains("on another machine") && Contains("not 8080"));
  for (const std::string& line : install_guide(facts).install) CHECK_THAT(line, !Contains("http://"));
  CHECK_THAT(install_guide(facts).without_vib.front(), Contains("-e true -r HBR"));
  facts.depot_enabled = false;
  CHECK(install_guide(facts).depot_url == "");
  CHECK_THAT(install_guide(facts).download.front(),
             Contains("culvert-vib build --ports 10000-10010,31031 --vib-version 0.1.0-7 "));
}

TEST_CASE("Guide: a host is let out before it fetches anything", "[vib][depot]") {
  const std::string let_out = "esxcli network firewall ruleset set -e true -r httpClient";
  const GuideFacts facts{"agent", 80, true, parse_ports("10000-10010").value(), {}, "0.1.0-7"};
  const InstallGuide guide = install_guide(facts);
  for (const auto& lines : {guide.download, guide.install}) {
    bool may_fetch = false;
    for (const std::string& line : lines) {
      if (line.find("http://") != std::string::npos) CHECK(may_fetch);
      may_fetch = may_fetch || line.find(let_out) == 0;
    }
    CHECK(may_fetch);
  }
  CHECK(guide.download.front() == let_out);
}

TEST_CASE("Guide: the check dials a forward's port, and nothing where there is no forward", "[vib][depot]") {
  GuideFacts facts{"agent",  80, true, parse_ports("10000-10010,31031").value(), parse_ports("31031").value(),
                   "0.1.0-7"};
  CHECK(install_guide(facts).check.back() == "nc -z agent 31031");
  facts.forwards = parse_ports("10003,31031").value();
  CHECK(install_guide(facts).check.back() == "nc -z agent 10003");
  facts.forwards.clear();
  for (const std::string& line : install_guide(facts).check) CHECK_THAT(line, !Contains("nc "));
}
