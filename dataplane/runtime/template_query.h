// The questions to a worker about persistence templates: only workers take their locks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/runtime/question.h"

namespace sluice {

// Copies of all templates, some at a time.
class TemplateQuery final : public Question {
 public:
  PersistenceTable::Cursor cursor;
  size_t count = 0;
  std::array<Template, 64> templates;

  void Answer(Worker& worker) override {
    count = cursor.AtEnd() ? 0 : worker.persistence.CopySome(cursor, templates);
  }
};

class FindTemplateQuery final : public Question {
 public:
  FindTemplateQuery(const TemplateKey& key, bool expire_quiescent)
      : key_(key), expire_quiescent_(expire_quiescent) {}

  std::optional<Template> found;

  void Answer(Worker& worker) override { found = worker.persistence.Find(key_, expire_quiescent_); }

 private:
  const TemplateKey key_;
  const bool expire_quiescent_;
};

class ForgetTemplates final : public Question {
 public:
  explicit ForgetTemplates(const std::vector<bool>& destinations) : destinations_(destinations) {}

  PersistenceTable::Cursor cursor;
  uint64_t forgotten = 0;

  void Answer(Worker& worker) override {
    if (!cursor.AtEnd()) forgotten += worker.persistence.ForgetSome(cursor, destinations_);
  }

 private:
  const std::vector<bool>& destinations_;
};

// Templates that another balancer has had until now.
class AdoptTemplates final : public Question {
 public:
  static constexpr size_t kAtOnce = 32;

  explicit AdoptTemplates(std::span<const Template> templates) : templates_(templates) {}

  size_t made = 0;
  bool AtEnd() const { return next_ == templates_.size(); }

  void Answer(Worker& worker) override {
    const size_t end = std::min(next_ + kAtOnce, templates_.size());
    for (; next_ < end; ++next_) made += worker.persistence.Adopt(templates_[next_]);
  }

 private:
  const std::span<const Template> templates_;
  size_t next_ = 0;
};

}  // namespace sluice
