// SPDX-License-Identifier: Apache-2.0
#include "control/tls_files.h"

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kTlsLookEvery{1};

absl::StatusOr<std::string> ReadPem(const char* option, const std::string& path) {
  if (path.empty())
    return absl::InvalidArgumentError(absl::StrCat("--listen-tls needs ", option, " FILE, too"));
  std::ifstream file(path);
  std::stringstream text;
  if (!file || !(text << file.rdbuf()))
    return absl::ErrnoToStatus(errno, absl::StrCat(option, " ", path, ": cannot be read, or is empty"));
  if (text.str().find("-----BEGIN ") == std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat(option, " ", path, ": is not PEM"));
  return text.str();
}

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio BioOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

// The first in the file, or null.
Certificate CertificateIn(const std::string& text) {
  const Bio bio = BioOf(text);
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
  ERR_clear_error();
  return certificate;
}

bool BelongTogether(const Certificate& certificate, const std::string& key_text) {
  const Bio bio = BioOf(key_text);
  char no_password[] = "";
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, no_password), EVP_PKEY_free);
  const bool together = key != nullptr && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return together;
}

// gRPC asks for each handshake.
grpc_ssl_certificate_config_reload_status Fetch(void* files, grpc_ssl_server_certificate_config** config) {
  const std::optional<TlsFiles::Texts> news = static_cast<TlsFiles*>(files)->News();
  if (!news) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair = {news->key.c_str(), news->certificate.c_str()};
  *config = grpc_ssl_server_certificate_config_create(news->client_ca.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// gRPC's own class for C++ cannot be told of new files; its C interface can.
class ReloadedCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadedCredentials(TlsFiles& files)
      : credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, Fetch, &files))) {}
  ~ReloadedCredentials() override { grpc_server_credentials_release(credentials_); }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

}  // namespace

absl::StatusOr<TlsFiles::Texts> TlsFiles::Read() const {
  const absl::StatusOr<std::string> certificate = ReadPem("--tls-cert", paths_.certificate);
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<std::string> key = ReadPem("--tls-key", paths_.key);
  if (!key.ok()) return key.status();
  const absl::StatusOr<std::string> client_ca = ReadPem("--tls-client-ca", paths_.client_ca);
  if (!client_ca.ok()) return client_ca.status();
  const Certificate own = CertificateIn(*certificate);
  if (own == nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-cert ", paths_.certificate, ": holds no certificate"));
  if (!BelongTogether(own, *key))
    return absl::InvalidArgumentError(absl::StrCat("--tls-cert ", paths_.certificate, " and --tls-key ",
                                                   paths_.key, ": do not belong together"));
  if (CertificateIn(*client_ca) == nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-client-ca ", paths_.client_ca, ": holds no certificate"));
  return Texts{.certificate = *certificate, .key = *key, .client_ca = *client_ca};
}

std::optional<TlsFiles::Texts> TlsFiles::News() {
  const MutexLock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now < next_look_) return std::nullopt;
  next_look_ = now + kTlsLookEvery;
  absl::StatusOr<Texts> read = Read();
  const std::string complaint = read.ok() ? "" : std::string(read.status().message());
  if (!complaint.empty() && complaint != complaint_)
    std::fprintf(stderr, "sluiced: %s; the files that were read before hold\n", complaint.c_str());
  complaint_ = complaint;
  if (!read.ok() || *read == used_) return std::nullopt;
  used_ = *read;
  return used_;
}

std::shared_ptr<grpc::ServerCredentials> TlsFiles::Credentials(TlsFiles& files) {
  return std::make_shared<ReloadedCredentials>(files);
}

}  // namespace sluice
