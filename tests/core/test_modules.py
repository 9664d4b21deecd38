"""Head and loss modules."""

import subprocess
import sys

import pytest
import torch

from selfcure.core import RankRegularization, SelfCureHead, SelfCureLoss


@pytest.mark.parametrize(("bias", "num_parameters"), [(False, 8 * 3 + 8), (True, 8 * 3 + 3 + 8 + 1)])
def test_head_has_the_parameters_of_its_recipe(bias, num_parameters):
    head = SelfCureHead(8, 3, bias=bias)
    assert sum(p.numel() for p in head.parameters()) == num_parameters
    logits, importance = head(torch.randn(5, 8))
    assert logits.shape == (5, 3)
    assert ((importance > 0) & (importance < 1)).all()


def test_importance_does_not_change_the_prediction():
    logits, importance = SelfCureHead(8, 3)(torch.randn(50, 8))
    assert torch.equal(logits.argmax(1), (importance[:, None] * logits).argmax(1))


def test_gradient_check_of_the_whole_loss():
    head, loss = SelfCureHead(6, 3).double(), SelfCureLoss().double()
    features = torch.randn(10, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(10) % 3
    assert torch.autograd.gradcheck(lambda x: loss(*head(x), labels).total, features)


def test_margin_is_a_parameter_only_when_learned():
    assert not list(RankRegularization().parameters())
    learned = RankRegularization(0.15, learn_margin=True)
    learned(torch.full((10,), 0.5)).backward()
    assert learned.rank_margin.grad.item() == 1


def test_core_needs_torch_only():
    code = (
        "import sys, selfcure.core; "
        "print([m for m in ('pyarrow', 'PIL', 'timm', 'torchvision', 'rich', 'cyclopts') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_without_weighting_the_importance_learns_from_the_rank_loss_alone():
    torch.manual_seed(0)
    logits, labels = torch.randn(10, 3), torch.arange(10) % 3
    importance = torch.rand(10, requires_grad=True)
    loss = SelfCureLoss(weight_logits=False, rank_weight=0.0)(logits, importance, labels)
    assert loss.total.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())
    assert torch.autograd.grad(loss.total, importance)[0].abs().max() == 0
    ranked = SelfCureLoss(weight_logits=False, rank_margin=0.9)(logits, importance, labels)
    assert torch.autograd.grad(ranked.total, importance)[0].abs().max() > 0
