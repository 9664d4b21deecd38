"""The one training loop: batch → method → optimiser → label book."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from selfcure import metrics
from selfcure.core import Batch, LabelBook
from selfcure.data.folder import Split
from selfcure.data.images import ImageStore
from selfcure.data.transforms import AUGMENTATIONS
from selfcure.errors import SelfcureError
from selfcure.methods import Method
from selfcure.runs import RunFolder
from selfcure.training.checkpoint import (
    load_optimizer_tensors,
    load_tensors,
    optimizer_tensors,
    save_tensors,
)
from selfcure.training.config import TrainConfig
from selfcure.training.evidence import EpochEvidence, importance_statistics
from selfcure.training.forward import MicroBatchedForward, WholeForward
from selfcure.training.inference import predict_logits
from selfcure.training.interrupt import Interrupted, StopRequest
from selfcure.training.reporter import Reporter
from selfcure.training.scalars import ScalarWriter
from selfcure.training.seeding import derive_seed, torch_seed


class Engine:
    """Trains ``method`` on ``images`` with the labels of ``split``; saves to ``run`` as it goes.

    The truth, where the split has it, is measured against and never trained on.

    Args:
        config: the engine's part of the configuration.
        method: built; its module is moved to ``device``.
        split: the training split; ``images`` are its images.
        validation: a split and its images, measured after every epoch.
    """

    def __init__(
        self,
        config: TrainConfig,
        method: Method,
        *,
        split: Split,
        images: ImageStore,
        validation: tuple[Split, ImageStore] | None,
        run: RunFolder,
        device: torch.device,
        reporter: Reporter,
    ):
        self.config, self.method, self.split, self.images = config, method, split, images
        self.validation, self.run, self.device, self.reporter = validation, run, device, reporter
        method.module.to(device).to(memory_format=torch.channels_last)
        self.optimizer = _optimizer(config, method)
        self.forward = (
            MicroBatchedForward(method.module, config.micro_batch_size)
            if 0 < config.micro_batch_size < config.batch_size
            else WholeForward(method.module)
        )
        self.augment = AUGMENTATIONS[config.augmentation]
        self.book = LabelBook(torch.from_numpy(split.labels))
        self.evidence = EpochEvidence(len(split))
        self.given_prob_sum = torch.zeros(len(split))
        self.epoch, self.next_batch = 1, 0

    def fit(self) -> None:
        """Train to the last epoch, from where the run folder's checkpoint stands if it has one.

        Raises:
            Interrupted: asked to stop by a signal; everything is saved.
        """
        scalars = ScalarWriter(self.run.path / "tensorboard", first_epoch=self.epoch)
        with StopRequest(self.reporter.stopping) as stop, scalars:
            while self.epoch <= self.config.num_epochs:
                self.train_epoch(stop)
                record = self._close_epoch()
                scalars.write(record)
                self.reporter.epoch(record)
        best = self.run.path / "best.safetensors"
        if self.config.select == "validation" and best.exists():
            best.replace(self.run.model)
        else:
            self._save_weights(self.run.model)

    def load(self) -> None:
        """Take up the run folder's checkpoint, and drop what the folder holds beyond it."""
        if not self.run.checkpoint.exists():
            self.run.forget_after(0)
            return
        groups, state = load_tensors(self.run.checkpoint)
        self.method.module.load_state_dict(groups["module"])
        self.method.load_state_dict(groups.get("method", {}))
        load_optimizer_tensors(self.optimizer, groups.get("optimizer", {}))
        self.book.load_state_dict(groups["book"])
        self.evidence.load_state(groups.get("evidence", {}), state["evidence"])
        self.given_prob_sum = groups["history"]["given_prob_sum"]
        self.epoch, self.next_batch = state["epoch"], state["next_batch"]
        self.run.forget_after(self.epoch - 1)

    def train_epoch(self, stop: StopRequest) -> None:
        """The remaining batches of the current epoch; :meth:`fit` then closes it."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.epoch)
        self.method.module.train()
        self._started, self._samples_before = time.perf_counter(), self.evidence.num_seen
        last_save = time.monotonic()
        for rows, images in self._batches():
            batch = Batch(
                ids=rows.to(self.device),
                images=self._prepared(images),
                given_labels=self.book.current(rows).to(self.device),
                original_labels=self.book.original(rows).to(self.device),
                epoch=self.epoch,
            )
            self._step(batch)
            self.next_batch += 1
            self.reporter.step(self.epoch, self.evidence.num_seen, self.evidence.means())
            if stop.asked:
                self.save()
                raise Interrupted(f"stopped in epoch {self.epoch}; everything is saved in {self.run.path}")
            if time.monotonic() - last_save > config.save_every_min * 60:
                self.save()
                last_save = time.monotonic()

    def _step(self, batch: Batch) -> None:
        with torch_seed(derive_seed(self.config.seed, "step", self.epoch, self.next_batch)):
            output = self.method.step(batch, self.forward)
            self.optimizer.zero_grad(set_to_none=True)
            self.forward.backward(output.loss)
        if not torch.isfinite(output.loss):
            raise SelfcureError(
                f"the loss became {output.loss.item()} in epoch {self.epoch}, batch {self.next_batch}; "
                "try a smaller --set learning_rate"
            )
        self.optimizer.step()
        self.evidence.add(batch, output)
        if "importance" in output.scores:
            self.book.note_importance(batch.ids, output.scores["importance"])
        if output.relabels is not None:
            self.book.note_labels(output.relabels.ids, output.relabels.labels, output.relabels.margins)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows [B] and uint8 images [B, 3, S, S] of the epoch's remaining batches; what must be decoded is read ahead."""
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "order", self.epoch))
        order = torch.randperm(len(self.split), generator=generator)
        batches = order.tensor_split(-(-len(order) // self.config.batch_size))[self.next_batch :]
        if (
            self.images.cached
        ):  # picking from memory is cheaper than a second team of threads beside the network's
            yield from ((rows, self.images.batch(rows)) for rows in batches)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as ahead:
            coming = ahead.submit(self.images.batch, batches[0]) if batches else None
            for index, rows in enumerate(batches):
                assert coming is not None
                images = coming.result()
                if index + 1 < len(batches):
                    coming = ahead.submit(self.images.batch, batches[index + 1])
                yield rows, images

    def _prepared(self, images: Tensor) -> Tensor:
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
        seed = derive_seed(self.config.seed, "augmentation", self.epoch, self.next_batch)
        floats = self.augment(images, seed, self.config.mean, self.config.std)
        return floats.contiguous(memory_format=torch.channels_last)

    def _close_epoch(self) -> dict[str, Any]:
        """Apply the label changes, measure, store the epoch, and save a checkpoint at the start of the next."""
        seconds = time.perf_counter() - self._started
        changes = self.book.close_epoch(self.epoch)
        self.given_prob_sum += self.evidence.columns["original_prob"]
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "learning_rate": learning_rate(self.config, self.epoch),
            "seconds": round(seconds, 3),
            "images_per_second": round((self.evidence.num_seen - self._samples_before) / seconds, 1),
            **self.evidence.means(),
            "num_label_changes": len(changes.ids),
            "num_labels_changed": int((self.book.current() != self.book.original()).sum()),
            **self._measure_training(),
        }
        if self.validation:
            record["validation"] = self._measure_validation()
        self.run.write_epoch(record, self.evidence.arrays(), changes, self.split.ids)
        if self.config.select == "validation" and self._is_best(record):
            self._save_weights(self.run.path / "best.safetensors")
        self.epoch, self.next_batch = self.epoch + 1, 0
        self.evidence = EpochEvidence(len(self.split))
        self.save()
        return record

    def _measure_training(self) -> dict[str, Any]:
        """What can be said of the training samples; the truth is read here, after training on the epoch."""
        columns = self.evidence.arrays()
        original, truth = self.book.original().numpy(), self.split.true_labels
        result: dict[str, Any] = {"accuracy_original": float((columns["prediction"] == original).mean())}
        suspicion = {
            "mean_given_prob": -(self.given_prob_sum / self.epoch).numpy(),
            "last_given_prob": -columns["original_prob"],
        }
        if "importance" in columns:
            result["importance"] = importance_statistics(columns["importance"])
            suspicion["importance"] = -columns["importance"]
        known = truth >= 0
        if known.any():
            result["accuracy_true"] = float((columns["prediction"] == truth)[known].mean())
            result["cure"] = metrics.cure(original, self.book.current().numpy(), truth)
            scores = {name: score[known] for name, score in suspicion.items()}
            result["detection"] = metrics.detection((original != truth)[known], scores)
        return result

    def _measure_validation(self) -> dict[str, Any]:
        assert self.validation is not None
        split, images = self.validation
        logits = predict_logits(self.method.module, images, self.config, self.device)
        if not torch.isfinite(logits).all():
            raise SelfcureError(
                f"the network's outputs are no longer numbers after epoch {self.epoch}; try a smaller --set learning_rate"
            )
        return metrics.classification(split.labels, logits.softmax(dim=1).numpy())

    def _is_best(self, record: dict[str, Any]) -> bool:
        if not self.validation:
            return False
        earlier = [r["validation"]["accuracy"] for r in self.run.metrics()[:-1]]
        return record["validation"]["accuracy"] > max(earlier, default=-1.0)

    def save(self) -> None:
        """Write the checkpoint of this very moment between two steps."""
        columns, evidence_state = self.evidence.state()
        groups = {
            "module": self.method.module.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "book": self.book.state_dict(),
            "evidence": columns,
            "history": {"given_prob_sum": self.given_prob_sum},
        }
        state = {"epoch": self.epoch, "next_batch": self.next_batch, "evidence": evidence_state}
        save_tensors(self.run.checkpoint, groups, state)

    def _save_weights(self, path: Any) -> None:
        save_tensors(path, {"module": self.method.module.state_dict()}, {"epoch": self.epoch})


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Learning rate of ``epoch`` (1-based).

    >>> [learning_rate(TrainConfig(), epoch) for epoch in (15, 16, 31)]
    [0.1, 0.010000000000000002, 0.0010000000000000002]
    """
    passed = sum(epoch > milestone for milestone in config.lr_milestones)
    return config.learning_rate * 0.1**passed * config.lr_decay ** (epoch - 1)


def _optimizer(config: TrainConfig, method: Method) -> torch.optim.Optimizer:
    parameters = list(method.module.parameters())
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
        )
    return torch.optim.Adam(parameters, config.learning_rate, weight_decay=config.weight_decay)
