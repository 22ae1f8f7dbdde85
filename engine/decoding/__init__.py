"""The parts of the decode loop (`engine.decoder`): an answer in the making, its slot, what is shared and drafted."""
