# An all-reduce of a number and of a vector that takes many packets. One line for each rank: host, ranks, sums.
import array, socket
from mpi4py import MPI

world = MPI.COMM_WORLD
mine = world.Get_rank() + 1
vector = array.array("d", [mine]) * 500_000
sums = array.array("d", [0]) * 500_000
world.Allreduce(vector, sums)
print(socket.gethostname(), world.Get_size(), world.allreduce(mine), min(sums), max(sums))
