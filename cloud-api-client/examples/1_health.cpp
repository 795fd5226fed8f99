// Asks a gateway how it is, trusting one root certificate:
//   example_health https://gw.example.net AA:BB:…   (the root's SHA-256, as `culvert-certs inspect` prints
//   it)
// Without a fingerprint the operating system's roots are trusted.
#include <cstdio>

#include "cloud-api-client/include/cloud_api/client.hpp"

int main(int argc, char** argv) {
  using namespace culvert;
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s https://HOST[:PORT] [ROOT-SHA256]\n", argv[0]);
    return 2;
  }
  cloud_api::ClientConfig config;
  config.gateway_url = argv[1];
  if (argc > 2) {
    auto fingerprint = certs::parse_thumbprint(argv[2]);
    if (!fingerprint) {
      std::fprintf(stderr, "%s\n", fingerprint.error().to_string().c_str());
      return 2;
    }
    config.trust = certs::RootFingerprint{*fingerprint};
  }
  auto client = cloud_api::Client::create(std::move(config));
  if (!client) {
    std::fprintf(stderr, "%s\n", client.error().to_string().c_str());
    return 2;
  }
  const auto health = (*client)->health();
  if (!health) {
    std::fprintf(stderr, "%s\n", health.error().to_string().c_str());
    return 1;
  }
  std::printf("%s, version %s, %s\n", health->status.c_str(), health->version.c_str(), health->time.c_str());
  return 0;
}
