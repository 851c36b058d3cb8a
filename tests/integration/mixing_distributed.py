"""One process of several, started by `accelerate launch`: trains a tiny model, then reads it in shards."""

import copy
import json
import sys
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.integration.mixing_runs import conversation, make_recipe
from xmguard.plugins import load_plugins
from xmguard_research.mixing.bases import Base
from xmguard_research.mixing.collating import AnswerCollator, row
from xmguard_research.mixing.encoding import InstanceEncoder
from xmguard_research.mixing.modelling import load_model
from xmguard_research.mixing.readers import load_reader
from xmguard_research.mixing.trainer import after_context, negative_log_likelihood
from xmguard_research.mixing.training import run_training


def trained(model, batch):
    """Loss, and the gradient of every trained weight."""
    loss = negative_log_likelihood(model, batch, **after_context(model, model, batch))
    loss.backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    return loss.item(), {name: getattr(grad, "full_tensor", lambda grad=grad: grad)() for name, grad in found.items()}


def main(folder):
    """Leave `out/model`, and in `sharded.json` how far the gradients of the sharded model are from the whole one's."""
    base = Base("tiny", folder / "base")
    recipe = make_recipe(base.path)
    run_training(recipe, folder / "data", folder / "out")

    model = load_model(base, make_recipe(base.path, acts_on="answer").train)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(parameter, 0.1)
    registry = load_plugins()
    tokenizer = load_reader(base, registry).tokenizer
    encode = InstanceEncoder(tokenizer, registry, "tiny", frozenset({tokenizer.eos_token_id})).encode
    batch = AnswerCollator(0)([row(encode(conversation(index))) for index in range(3)])
    whole, gradients = trained(copy.deepcopy(model), batch)

    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for part in (*model.base_model.model.model.layers, model):
        fully_shard(part, mesh=mesh)
        part.set_force_sum_reduction_for_comms(True)  # gloo does not average
    sharded, found = trained(model, batch)
    furthest = max(
        (found[name] - grad).abs().max().item() / grad.abs().max().item() for name, grad in gradients.items()
    )
    if distributed.get_rank() == 0:
        said = {"processes": distributed.get_world_size(), "losses": [whole, sharded], "gradients": furthest}
        (folder / "sharded.json").write_text(json.dumps(said), encoding="utf-8")
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
