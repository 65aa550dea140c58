// kubeconfigs, token files that change, and plugins.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace sluice::kubernetes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CredentialsTest : public testing::Test {
 protected:
  CredentialsTest() {
    char name[] = "/tmp/credentials_test.XXXXXX";
    folder_ = std::string(mkdtemp(name)) + "/";
  }
  ~CredentialsTest() override { std::filesystem::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + name) << text;
    return folder_ + name;
  }
  // A kubeconfig with this cluster and user.
  absl::StatusOr<ApiAccess> Read(const std::string& cluster, const std::string& user) const {
    return ReadKubeConfig(
        Write("config",
              "current-context: it\n"
              "contexts:\n- name: it\n  context: {cluster: c, user: u}\n"
              "clusters:\n- name: other\n  cluster: {server: nowhere}\n- name: c\n  cluster:\n" +
                  cluster + "users:\n- name: u\n  user:\n" + user));
  }
  std::string Error(const std::string& cluster, const std::string& user) const {
    return std::string(Read(cluster, user).status().message());
  }

  std::string folder_;
};

constexpr char kServer[] = "    server: https://10.0.0.1:6443\n";

TEST_F(CredentialsTest, AKubeconfig) {
  const auto access = Read(
      std::string(kServer) + "    certificate-authority: pki/ca.pem\n    tls-server-name: api.example\n",
      "    client-certificate-data: Q0VSVA==\n    client-key-data: S0VZ\n    token: t\n    tokenFile: /t\n");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_THAT(access->servers, ElementsAre("https://10.0.0.1:6443"));
  EXPECT_EQ(access->ca_file, folder_ + "pki/ca.pem") << "beside the kubeconfig";
  EXPECT_EQ(access->server_name, "api.example");
  EXPECT_EQ(access->certificate_data, "CERT");
  EXPECT_EQ(access->key_data, "KEY");
  EXPECT_EQ(access->token_file, "/t");
}

TEST_F(CredentialsTest, WhatIsWrongWithIt) {
  EXPECT_THAT(Error("    {}\n", "    {}\n"), HasSubstr("cluster c: has no server"));
  EXPECT_THAT(Error(std::string(kServer) + "    certificate-authority-data: '*'\n", "    {}\n"),
              HasSubstr("certificate-authority-data: is not base64"));
  EXPECT_THAT(Error(kServer, "    exec: {apiVersion: v1}\n"), HasSubstr("user.exec: has no command"));
  EXPECT_THAT(Error(kServer, "    exec: {command: x, interactiveMode: Always}\n"),
              HasSubstr("nobody is there to be asked"));
  EXPECT_THAT(std::string(ReadKubeConfig(Write("bad", "a: [")).status().message()),
              HasSubstr("bad: yaml-cpp: error at line 1"));
  EXPECT_FALSE(ReadKubeConfig(folder_ + "none").ok());
}

TEST_F(CredentialsTest, ATokenFileIsReadAgainWhenTheServerDoesNotKnowTheToken) {
  const std::string token = Write("token", "first\n");
  CredentialSource source({.token_file = token});
  EXPECT_EQ(source.Get()->token, "first");
  Write("token", "second\n");
  EXPECT_EQ(source.Get()->token, "first") << "not with every request";
  source.Forget();
  EXPECT_EQ(source.Get()->token, "second");
  std::filesystem::remove(token);
  source.Forget();
  EXPECT_EQ(source.Get()->token, "second") << "what was right may still be";
  CredentialSource missing({.token_file = token});
  EXPECT_FALSE(missing.Get().ok());
}

TEST_F(CredentialsTest, APlugin) {
  const std::string plugin =
      Write("plugin",
            "#!/bin/sh\necho again >> \"$COUNT\"\n"
            "case $KUBERNETES_EXEC_INFO in *'\"apiVersion\":\"client.authentication.k8s.io/v1\"'*) ;; *) "
            "exit 3;; esac\n"
            "echo "
            "'{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"'$1'\",\"expirationTimestamp\":\"2030-01-"
            "01T00:00:00Z\"}}'\n");
  chmod(plugin.c_str(), 0755);
  const auto access =
      Read(kServer, "    exec: {command: ./plugin, args: [hello], env: [{name: COUNT, value: " + folder_ +
                        "count}], apiVersion: client.authentication.k8s.io/v1}\n");
  ASSERT_TRUE(access.ok()) << access.status();
  CredentialSource source(*access);
  for (int i = 0; i < 3; ++i) {
    const auto credentials = source.Get();
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    EXPECT_EQ(credentials->token, "hello");
  }
  EXPECT_EQ(std::filesystem::file_size(folder_ + "count"), 6u) << "asked once: it holds until 2030";
  source.Forget();
  EXPECT_TRUE(source.Get().ok());
  EXPECT_EQ(std::filesystem::file_size(folder_ + "count"), 12u);
  Write("plugin", "#!/bin/sh\nexit 1\n");
  EXPECT_THAT(std::string(CredentialSource(*access).Get().status().message()), HasSubstr("plugin: failed"));
  Write("plugin", "#!/bin/sh\necho nonsense\n");
  EXPECT_THAT(std::string(CredentialSource(*access).Get().status().message()),
              HasSubstr("printed no ExecCredential"));
}

TEST_F(CredentialsTest, APod) {
  unsetenv("KUBERNETES_SERVICE_HOST");
  EXPECT_FALSE(InCluster().ok());
  setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
  setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  EXPECT_THAT(InCluster()->servers, ElementsAre("https://[fd00::1]:443"));
  unsetenv("KUBERNETES_SERVICE_HOST");
}

}  // namespace
}  // namespace sluice::kubernetes
