"""The one training loop: batch → method → optimiser → label book."""

import math
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from selfcure import metrics
from selfcure.core import Batch, LabelBook, RelabelDecisions, StepOutput, TrainingSet
from selfcure.core.voting import group_mean
from selfcure.data.folder import Split
from selfcure.data.images import ImageStore
from selfcure.data.transforms import AUGMENTATIONS, Draws
from selfcure.errors import SelfcureError
from selfcure.methods import Method, Outputs
from selfcure.runs import RunFolder
from selfcure.training.checkpoint import (
    load_optimizer_tensors,
    load_tensors,
    optimizer_tensors,
    save_tensors,
)
from selfcure.training.config import TrainConfig
from selfcure.training.evidence import EpochEvidence, History, StepEvidence
from selfcure.training.forward import Forward, MicroBatchedForward, SharedForward, WholeForward
from selfcure.training.inference import predict
from selfcure.training.interrupt import Interrupted, StopRequest
from selfcure.training.loader import load_batches
from selfcure.training.measures import count_clips, measure_training
from selfcure.training.network import Network
from selfcure.training.reporter import Reporter
from selfcure.training.sampling import epoch_order
from selfcure.training.scalars import ScalarWriter
from selfcure.training.seeding import derive_seed, torch_seed
from selfcure.training.workers import Workers


class Engine:
    """Trains ``method`` on ``images`` with the labels of ``split``; saves to ``run`` as it goes.

    The truth, where the split has it, is measured against and never trained on.

    Args:
        config: the engine's part of the configuration.
        method: built; its module is moved to ``device``.
        split: the training split; ``images`` are its images.
        validation: a split and its images, measured after every epoch.
        workers: the processes that train together; the first one writes.
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
        workers: Workers,
        reporter: Reporter,
    ):
        self.config, self.method, self.split, self.images = config, method, split, images
        self.validation, self.run, self.workers, self.reporter = validation, run, workers, reporter
        self.device = device
        self.network = Network(method.module, config, device)
        self.optimizer = _optimizer(config, method)
        self.forward = self._forward()
        self.augment = AUGMENTATIONS[config.augmentation]
        self.clips: Tensor | None = None  # [N]
        if config.frames_per_clip or config.unit == "clip":
            self.clips = torch.from_numpy(split.clips)
        self.together = self.clips if config.unit == "clip" else None
        self.book = LabelBook(torch.from_numpy(split.labels), groups=self.together)
        soft = split.soft_labels
        self.soft_labels = None if soft is None else torch.from_numpy(soft).to(self.network.dtype)  # [N, K]
        self.evidence, self.history = EpochEvidence(len(split)), History(len(split))
        self.epoch, self.next_batch = 1, 0
        self._among: Tensor | None = None
        self._pending: tuple[int, StepEvidence, torch.cuda.Event | None] | None = None
        method.start(TrainingSet(self.book.original(), len(split.dataset.class_names), config.num_epochs))
        if workers.size > 1 and config.ranking == "process" and method.state_dict():
            raise SelfcureError(
                "this method keeps something for every sample, which every process must see: use --set ranking=global"
            )

    @property
    def samples_per_epoch(self) -> int:
        """As many as an epoch draws, of a method that draws from all."""
        if self.clips is None or not self.config.frames_per_clip:
            return len(self.split)
        return int(self.clips.bincount().clamp(max=self.config.frames_per_clip).sum())

    def fit(self) -> None:
        """Train to the last epoch, from where the run folder's checkpoint stands if it has one.

        Raises:
            Interrupted: asked to stop by a signal; everything is saved.
        """
        folder = self.run.path / "tensorboard"
        writer = ScalarWriter(folder, first_epoch=self.epoch) if self.workers.leads else nullcontext()
        with StopRequest(self.reporter.stopping) as stop, writer as scalars:
            while self.epoch <= self.config.num_epochs:
                self.train_epoch(stop)
                record = self._close_epoch()
                if scalars:
                    scalars.write(record)
                self.reporter.epoch(record)
        self.workers.led(self._keep_weights)

    def load(self) -> None:
        """Take up the run folder's checkpoint, and drop what the folder holds beyond it."""
        if not self.run.checkpoint.exists():
            self.workers.led(lambda: self.run.forget_after(0))
            return
        groups, state = load_tensors(self.run.checkpoint)
        self.method.module.load_state_dict(groups["module"])
        self.method.load_state_dict(groups.get("method", {}))
        load_optimizer_tensors(self.optimizer, groups.get("optimizer", {}))
        self.book.load_state_dict(groups["book"])
        self.evidence.load_state(groups.get("evidence", {}), state["evidence"])
        self.history.load_state_dict(groups["history"])
        self._among = groups.get("order", {}).get("among")
        self.epoch, self.next_batch = state["epoch"], state["next_batch"]
        self.workers.led(lambda: self.run.forget_after(self.epoch - 1))

    def train_epoch(self, stop: StopRequest) -> None:
        """The remaining batches of the current epoch; :meth:`fit` then closes it."""
        config = self.config
        self._started, self._samples_before = time.perf_counter(), self.evidence.num_seen
        batches = self._batches()
        num_batches = self.next_batch + len(batches)
        self.method.module.train()
        last_save = time.monotonic()
        mine = ((rows, rows[self.workers.part(len(rows))]) for rows in batches)
        for rows, images in load_batches(self.images, mine, self.device):
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate(self.next_batch / num_batches)
            self._step(rows, images)
            self.next_batch += 1
            if self.workers.any(stop.asked):
                self.save()
                raise Interrupted(f"stopped in epoch {self.epoch}; everything is saved in {self.run.path}")
            if time.monotonic() - last_save > config.save_every_min * 60:
                self.save()
                last_save = time.monotonic()
        self._note_pending()

    def _step(self, rows: Tensor, images: Tensor) -> None:
        batch = Batch(
            ids=self._to_device(rows),
            images=self._augmented(images, len(rows)),
            given_labels=self._to_device(self.book.current(rows)),
            original_labels=self._to_device(self.book.original(rows)),
            epoch=self.epoch,
            part=self.workers.part(len(rows)),
            soft_labels=self._soft(rows),
        )
        with torch_seed(derive_seed(self.config.seed, "step", self.epoch, self.next_batch)):
            self.optimizer.zero_grad(set_to_none=True)
            output = self._computed(batch)
        self.optimizer.step()
        step = StepEvidence.of(rows, batch, output).to_host()
        copied = torch.cuda.current_stream().record_event() if self.device.type == "cuda" else None
        # A GPU is still busy with this step: look at the one before, and let the next be prepared meanwhile.
        if copied:
            self._note_pending()
        self._pending = self.next_batch, step, copied
        if not copied:
            self._note_pending()

    def _learning_rate(self, share: float) -> float:
        """When ``share`` of the current epoch is done."""
        return learning_rate(self.config, self.method.schedule(self.epoch - 1 + share))

    def _computed(self, batch: Batch) -> StepOutput:
        """The method's step on the whole batch, gradients included."""
        if self.workers.size == 1 or self.config.ranking == "global":
            output = self.method.step(batch, self.forward)
            self.forward.backward(output.loss)
            return output
        total = len(batch.ids)
        part = self.workers.part(total)
        own = {name: getattr(batch, name)[part] for name in ("ids", "given_labels", "original_labels")}
        if batch.soft_labels is not None:
            own["soft_labels"] = batch.soft_labels[part]
        output = self.method.step(replace(batch, part=slice(None), **own), self.forward)
        # Parts differ by one sample; after averaging each sample must weigh alike.
        self.forward.backward(output.loss * (len(own["ids"]) * self.workers.size / total))
        return self._gathered(output, total)

    def _gathered(self, output: StepOutput, total: int) -> StepOutput:
        """The outputs of all processes as one; the loss and its terms are the first process's."""
        gather, ragged = self.workers.gather, self.workers.gather_ragged
        decided = output.relabels
        return replace(
            output,
            logits=gather(output.logits.detach(), total),
            scores={name: gather(score.detach(), total) for name, score in output.scores.items()},
            relabels=decided
            and RelabelDecisions(ragged(decided.ids), ragged(decided.labels), ragged(decided.margins)),
        )

    def _note_pending(self) -> None:
        """Take what the last step showed into evidence and book."""
        if self._pending is None:
            return
        (batch, step, copied), self._pending = self._pending, None
        if copied:
            copied.synchronize()
        loss = step.means[step.names.index("loss")].item()
        if not math.isfinite(loss):
            raise SelfcureError(
                f"the loss became {loss} in epoch {self.epoch}, batch {batch}; try a smaller --set learning_rate"
            )
        self.evidence.add(step)
        if "importance" in step.columns:
            self.book.note_importance(step.ids, step.columns["importance"])
        if step.relabels is not None:
            self.book.note_labels(step.relabels.ids, step.relabels.labels, step.relabels.margins)
        self.reporter.step(self.epoch, self.evidence.num_seen, self.evidence.means())

    def _batches(self) -> tuple[Tensor, ...]:
        """Sample ids of each of the epoch's remaining batches."""
        seed = self.config.seed
        if self.next_batch == 0:
            with torch_seed(derive_seed(seed, "begin", self.epoch)):
                self._among = self.method.begin_epoch(self.epoch, self._training_outputs)
        generator = torch.Generator().manual_seed(derive_seed(seed, "order", self.epoch))
        order = epoch_order(
            self.book.current(),
            generator,
            sampling=self.config.sampling,
            among=self._among,
            clips=self.clips,
            frames_per_clip=self.config.frames_per_clip,
        )
        if len(order) < 2 * self.workers.size:
            raise SelfcureError(
                f"epoch {self.epoch} has {len(order)} samples to draw from, too few for {self.workers.size} processes"
            )
        return order.tensor_split(-(-len(order) // self.config.batch_size))[self.next_batch :]

    def _training_outputs(self) -> Outputs:
        """What the network makes of all training images now: [N, …] on the CPU, not augmented, in evaluation mode."""
        return predict(self.network, self.images, workers=self.workers)

    def _augmented(self, images: Tensor, batch_size: int) -> Tensor:
        seed = derive_seed(self.config.seed, "augmentation", self.epoch, self.next_batch)
        draws = Draws(seed, batch_size, self.workers.part(batch_size))
        floats = self.augment(images, draws, self.config.mean, self.config.std)
        return floats.to(self.network.dtype).contiguous(memory_format=self.network.layout)

    def _soft(self, rows: Tensor) -> Tensor | None:
        """Soft labels of a batch; a label that training changed is a class again."""
        if self.soft_labels is None:
            return None
        soft, current = self.soft_labels[rows], self.book.current(rows)
        classes = one_hot(current, soft.shape[1]).to(soft)
        return self._to_device(torch.where((current == self.book.original(rows))[:, None], soft, classes))

    def _to_device(self, small: Tensor) -> Tensor:
        return small.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else small

    def _close_epoch(self) -> dict[str, Any]:
        """Apply the label changes, measure, store the epoch, and save a checkpoint at the start of the next."""
        seconds = time.perf_counter() - self._started
        columns = self.evidence.columns
        if self.together is not None and "importance" in columns:
            columns["importance"] = group_mean(columns["importance"], self.together)
            known = (~columns["importance"].isnan()).nonzero().squeeze(1)
            self.book.note_importance(known, columns["importance"][known])
        changes = self.book.close_epoch(self.epoch, seen=columns["prediction"] >= 0)
        self.history.add(columns["original_prob"])
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "learning_rate": self._learning_rate(0.5),  # in the middle of the epoch
            "seconds": round(seconds, 3),
            "images_per_second": round((self.evidence.num_seen - self._samples_before) / seconds, 1),
            **self.evidence.means(),
            "num_label_changes": len(changes.ids),
            "num_labels_changed": int((self.book.current() != self.book.original()).sum()),
            **measure_training(
                self.evidence.arrays(),
                self.history.mean(),
                original=self.book.original().numpy(),
                current=self.book.current().numpy(),
                truth=self.split.true_labels,
                confusion=self.method.label_confusion(),
            ),
        }
        if self.together is not None:
            record["clips"] = count_clips(self.together, changes, self.book)
        self.workers.share_buffers(self.method.module)
        if self.validation:
            record["validation"] = self._measure_validation()
        self.workers.led(
            lambda: self.run.write_epoch(record, self.evidence.arrays(), changes, self.split.ids)
        )
        if self.config.select == "validation" and self.workers.leads and self._is_best(record):
            self._save_weights(self.run.best)
        self.epoch, self.next_batch = self.epoch + 1, 0
        self.evidence = EpochEvidence(len(self.split))
        self.save()
        return record

    def _measure_validation(self) -> dict[str, Any]:
        assert self.validation is not None
        split, images = self.validation
        logits = predict(self.network, images, workers=self.workers)["logits"]
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
        """Write the checkpoint of this very moment between two steps, in the first process."""
        self._note_pending()
        if not self.workers.leads:
            return
        columns, evidence_state = self.evidence.state()
        groups = {
            "module": self.method.module.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "book": self.book.state_dict(),
            "evidence": columns,
            "history": self.history.state_dict(),
            "order": {} if self._among is None else {"among": self._among},
        }
        state = {"epoch": self.epoch, "next_batch": self.next_batch, "evidence": evidence_state}
        save_tensors(self.run.checkpoint, groups, state)

    def _forward(self) -> Forward:
        config, workers = self.config, self.workers
        forward: Forward = WholeForward(self.network)
        if 0 < config.micro_batch_size < -(-config.batch_size // workers.size):
            forward = MicroBatchedForward(self.network, config.micro_batch_size, module=self.method.module)
        if workers.size > 1:
            parameters = list(self.method.module.parameters())
            forward = SharedForward(forward, workers, parameters, gathers=config.ranking == "global")
        return forward

    def _keep_weights(self) -> None:
        if self.config.select == "validation" and self.run.best.exists():
            self.run.best.replace(self.run.model)
        else:
            self._save_weights(self.run.model)

    def _save_weights(self, path: Any) -> None:
        save_tensors(path, {"module": self.method.module.state_dict()}, {"epoch": self.epoch})


def learning_rate(config: TrainConfig, passed: float) -> float:
    """Learning rate when ``passed`` epochs are done, 0 … ``num_epochs``.

    >>> [learning_rate(TrainConfig(), passed) for passed in (14, 15.5, 30)]
    [0.1, 0.010000000000000002, 0.0010000000000000002]
    >>> cosine = TrainConfig(num_epochs=40, lr_schedule="cosine", warmup_epochs=1)
    >>> [round(learning_rate(cosine, passed), 4) for passed in (0.5, 1, 20.5, 40)]
    [0.05, 0.1, 0.05, 0.0]
    """
    if config.lr_schedule == "cosine":
        warmup = min(config.warmup_epochs, config.num_epochs / 2)
        if passed < warmup:
            return config.learning_rate * passed / warmup
        return (
            config.learning_rate
            * (1 + math.cos(math.pi * (passed - warmup) / (config.num_epochs - warmup)))
            / 2
        )
    milestones = sum(passed >= milestone for milestone in config.lr_milestones)
    return config.learning_rate * 0.1**milestones * config.lr_decay ** int(passed)


def _optimizer(config: TrainConfig, method: Method) -> torch.optim.Optimizer:
    parameters = list(method.module.parameters())
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
        )
    return torch.optim.Adam(parameters, config.learning_rate, weight_decay=config.weight_decay)
