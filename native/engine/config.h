// What a trainer is made of, as final values: no default lives here. The spelling equals TrainerConfig in
// src/native/binding.ts, and each struct lists its fields once, for the reader and for the test that compares the two.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "augment/config.h"
#include "dist/config.h"

namespace voxgrad {

/// nnU-Net's PlainConvUNet or ResidualEncoderUNet (dynamic_network_architectures/architectures/unet.py) in numbers.
/// convsPerStage counts the residual blocks of the latter.
struct NetworkConfig {
  std::string architecture;
  int64_t dimensions;
  int64_t inputChannels;
  int64_t outputChannels;
  std::vector<int64_t> featuresPerStage;
  std::vector<std::vector<int64_t>> kernelSizes;
  std::vector<std::vector<int64_t>> strides;
  std::vector<int64_t> convsPerStage;
  std::vector<int64_t> convsPerStageDecoder;
  bool convBias;
  bool hasDropout;
  double dropoutProbability;
  bool batchNorm;  // in place of instance norm
  double normEps;
  double negativeSlope;

  template <class Visitor>
  static void fields(Visitor&& visit) {
    visit("architecture", &NetworkConfig::architecture);
    visit("dimensions", &NetworkConfig::dimensions);
    visit("inputChannels", &NetworkConfig::inputChannels);
    visit("outputChannels", &NetworkConfig::outputChannels);
    visit("featuresPerStage", &NetworkConfig::featuresPerStage);
    visit("kernelSizes", &NetworkConfig::kernelSizes);
    visit("strides", &NetworkConfig::strides);
    visit("convsPerStage", &NetworkConfig::convsPerStage);
    visit("convsPerStageDecoder", &NetworkConfig::convsPerStageDecoder);
    visit("convBias", &NetworkConfig::convBias);
    visit("hasDropout", &NetworkConfig::hasDropout);
    visit("dropoutProbability", &NetworkConfig::dropoutProbability);
    visit("batchNorm", &NetworkConfig::batchNorm);
    visit("normEps", &NetworkConfig::normEps);
    visit("negativeSlope", &NetworkConfig::negativeSlope);
  }
};

/// What the network's outputs stand for.
struct LabelsConfig {
  std::vector<std::vector<int64_t>> outputs;  // the labels that each output covers
  bool overlapping;                           // regions: a sigmoid each; else one label each and a softmax over all
  int64_t ignoreLabel;                        // of voxels that are not annotated; -1: there is none

  template <class Visitor>
  static void fields(Visitor&& visit) {
    visit("outputs", &LabelsConfig::outputs);
    visit("overlapping", &LabelsConfig::overlapping);
    visit("ignoreLabel", &LabelsConfig::ignoreLabel);
  }
};

struct LossConfig {
  double diceWeight;
  double crossEntropyWeight;
  double topKPercent;  // the share of voxels with the largest cross-entropy that counts; 100: all
  double labelSmoothing;
  bool annotatedMean;  // with an ignore label: see cross_entropy_mean
  bool batchDice;
  double smooth;
  std::vector<double> deepSupervisionWeights;

  template <class Visitor>
  static void fields(Visitor&& visit) {
    visit("diceWeight", &LossConfig::diceWeight);
    visit("crossEntropyWeight", &LossConfig::crossEntropyWeight);
    visit("topKPercent", &LossConfig::topKPercent);
    visit("labelSmoothing", &LossConfig::labelSmoothing);
    visit("annotatedMean", &LossConfig::annotatedMean);
    visit("batchDice", &LossConfig::batchDice);
    visit("smooth", &LossConfig::smooth);
    visit("deepSupervisionWeights", &LossConfig::deepSupervisionWeights);
  }
};

/// momentum and nesterov are of sgd, beta1, beta2 and amsgrad of adam and adamw, eps of them and adan. adanBetas are
/// what its averages of gradient, gradient difference and square take of the new value. An infinite clipNorm clips
/// nothing.
struct OptimizerConfig {
  std::string kind;
  double momentum;
  bool nesterov;
  double beta1;
  double beta2;
  std::vector<double> adanBetas;
  double eps;
  bool amsgrad;
  double weightDecay;
  double clipNorm;

  template <class Visitor>
  static void fields(Visitor&& visit) {
    visit("kind", &OptimizerConfig::kind);
    visit("momentum", &OptimizerConfig::momentum);
    visit("nesterov", &OptimizerConfig::nesterov);
    visit("beta1", &OptimizerConfig::beta1);
    visit("beta2", &OptimizerConfig::beta2);
    visit("adanBetas", &OptimizerConfig::adanBetas);
    visit("eps", &OptimizerConfig::eps);
    visit("amsgrad", &OptimizerConfig::amsgrad);
    visit("weightDecay", &OptimizerConfig::weightDecay);
    visit("clipNorm", &OptimizerConfig::clipNorm);
  }
};

struct TrainerConfig {
  std::string device;
  int64_t threads;
  bool deterministic;
  bool cudaGraph;
  std::string precision;
  std::string seed;
  int64_t batchSize;  // of all ranks together
  std::vector<int64_t> patchSize;
  std::vector<int64_t> initialPatchSize;
  double oversampleForeground;
  bool foregroundByProbability;  // of each sample, in place of a share of the batch
  int64_t previousStageLabels;   // a cascade's one-hot channels behind the image's own; 0 without a cascade
  NetworkConfig network;
  LabelsConfig labels;
  LossConfig loss;
  OptimizerConfig optimizer;
  augment::AugmentationConfig augmentation;
  RanksConfig group;

  template <class Visitor>
  static void fields(Visitor&& visit) {
    visit("device", &TrainerConfig::device);
    visit("threads", &TrainerConfig::threads);
    visit("deterministic", &TrainerConfig::deterministic);
    visit("cudaGraph", &TrainerConfig::cudaGraph);
    visit("precision", &TrainerConfig::precision);
    visit("seed", &TrainerConfig::seed);
    visit("batchSize", &TrainerConfig::batchSize);
    visit("patchSize", &TrainerConfig::patchSize);
    visit("initialPatchSize", &TrainerConfig::initialPatchSize);
    visit("oversampleForeground", &TrainerConfig::oversampleForeground);
    visit("foregroundByProbability", &TrainerConfig::foregroundByProbability);
    visit("previousStageLabels", &TrainerConfig::previousStageLabels);
    visit("network", &TrainerConfig::network);
    visit("labels", &TrainerConfig::labels);
    visit("loss", &TrainerConfig::loss);
    visit("optimizer", &TrainerConfig::optimizer);
    visit("augmentation", &TrainerConfig::augmentation);
    visit("group", &TrainerConfig::group);
  }
};

}  // namespace voxgrad
