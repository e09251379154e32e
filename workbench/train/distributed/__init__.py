"""Several processes that train one model; with one process nothing happens here.

* `processes`: how many there are, sums and values over all of them, shares of rows.
* `group`: the group is made and ended; an error in one process ends all.
* `sharding`: the policy wrapped by DDP or FSDP2, and put together again; `sharded_files`: its
  shards on disk.
"""

from workbench.train.distributed.group import joined as joined
from workbench.train.distributed.group import require_alike as require_alike
from workbench.train.distributed.group import started_together as started_together
from workbench.train.distributed.processes import agreed as agreed
from workbench.train.distributed.processes import clip as clip
from workbench.train.distributed.processes import divided as divided
from workbench.train.distributed.processes import from_main as from_main
from workbench.train.distributed.processes import gather as gather
from workbench.train.distributed.processes import is_main as is_main
from workbench.train.distributed.processes import main_first as main_first
from workbench.train.distributed.processes import main_says as main_says
from workbench.train.distributed.processes import mean_over_all as mean_over_all
from workbench.train.distributed.processes import rank as rank
from workbench.train.distributed.processes import require_equal as require_equal
from workbench.train.distributed.processes import share as share
from workbench.train.distributed.processes import total as total
from workbench.train.distributed.processes import world_size as world_size
from workbench.train.distributed.sharded_files import load_shards as load_shards
from workbench.train.distributed.sharded_files import load_whole as load_whole
from workbench.train.distributed.sharded_files import save_shards as save_shards
from workbench.train.distributed.sharded_files import shapes_in as shapes_in
from workbench.train.distributed.sharding import Whole as Whole
from workbench.train.distributed.sharding import accumulating as accumulating
from workbench.train.distributed.sharding import buffers_from_main as buffers_from_main
from workbench.train.distributed.sharding import is_sharded as is_sharded
from workbench.train.distributed.sharding import load_whole_state as load_whole_state
from workbench.train.distributed.sharding import require_names as require_names
from workbench.train.distributed.sharding import sharded_copy as sharded_copy
from workbench.train.distributed.sharding import trainable as trainable
from workbench.train.distributed.sharding import unwrap as unwrap
from workbench.train.distributed.sharding import whole as whole
from workbench.train.distributed.sharding import whole_state as whole_state
from workbench.train.distributed.sharding import without_weights as without_weights
from workbench.train.distributed.sharding import wrapped as wrapped
